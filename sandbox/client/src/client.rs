//! [`PodClient`] over the connection to a shim.

use std::os::fd::OwnedFd;

use async_trait::async_trait;
use cofferdam_pod_api::{
    Attach, Create, Delete, Dial, Exec, GetStats, List, Op, Outcome, ReopenLog, Signal, Start, Update, status_from,
};
use cofferdam_sandbox::{
    ByteStreams, ContainerSpec, ContainerStatus, ExecSpec, PodClient, PodError, PodEvent, Stats, Streams,
};
use oci_spec::runtime::LinuxResources;
use tokio::sync::broadcast;

use crate::requester::unexpected;
use crate::shim::Shim;
use crate::streams::Opening;

impl Shim {
    async fn ask(&self, op: Op) -> Result<Outcome, PodError> {
        self.requester()?.ask(op, Vec::new()).await
    }

    async fn ask_empty(&self, op: Op, fds: Vec<OwnedFd>) -> Result<(), PodError> {
        match self.requester()?.ask(op, fds).await? {
            Outcome::Empty(_) => Ok(()),
            _ => Err(unexpected()),
        }
    }
}

#[async_trait]
impl PodClient for Shim {
    async fn create(&self, spec: &ContainerSpec, log: Option<OwnedFd>) -> Result<ContainerStatus, PodError> {
        let op = Op::Create(Create::new(spec, log.is_some())?);
        match self.requester()?.ask(op, log.into_iter().collect()).await? {
            Outcome::Status(status) => status_from(status),
            _ => Err(unexpected()),
        }
    }

    async fn start(&self, container: &str) -> Result<ContainerStatus, PodError> {
        match self.ask(Op::Start(Start { container: container.into() })).await? {
            Outcome::Status(status) => status_from(status),
            _ => Err(unexpected()),
        }
    }

    async fn signal(&self, container: &str, signal: i32, all: bool) -> Result<(), PodError> {
        self.ask_empty(Op::Signal(Signal { container: container.into(), signal, all }), Vec::new()).await
    }

    async fn delete(&self, container: &str) -> Result<(), PodError> {
        self.ask_empty(Op::Delete(Delete { container: container.into() }), Vec::new()).await?;
        self.forget_exit(container);
        Ok(())
    }

    async fn update(&self, container: &str, resources: &LinuxResources) -> Result<LinuxResources, PodError> {
        match self.ask(Op::Update(Update::new(container, resources)?)).await? {
            Outcome::Resources(applied) => applied.content(),
            _ => Err(unexpected()),
        }
    }

    async fn list(&self) -> Result<Vec<ContainerStatus>, PodError> {
        match self.ask(Op::List(List {})).await? {
            Outcome::StatusList(list) => list.containers.into_iter().map(status_from).collect(),
            _ => Err(unexpected()),
        }
    }

    async fn stats(&self, container: &str) -> Result<Stats, PodError> {
        match self.ask(Op::Stats(GetStats { container: container.into() })).await? {
            Outcome::StatsReply(reply) => reply.content(),
            _ => Err(unexpected()),
        }
    }

    async fn reopen_log(&self, container: &str, log: OwnedFd) -> Result<(), PodError> {
        self.ask_empty(Op::ReopenLog(ReopenLog { container: container.into() }), vec![log]).await
    }

    async fn exec(&self, spec: &ExecSpec, stdout: bool, stderr: bool) -> Result<Streams, PodError> {
        let requester = self.requester()?;
        let opening = Opening::new(&requester, stdout, stderr)?;
        let op = Op::Exec(Exec::new(spec, opening.stream, stdout, stderr)?);
        requester.ask(op, Vec::new()).await?;
        Ok(opening.into_streams(spec.stdin, true))
    }

    async fn attach(&self, container: &str, stdin: bool, stdout: bool, stderr: bool) -> Result<Streams, PodError> {
        let requester = self.requester()?;
        let opening = Opening::new(&requester, stdout, stderr)?;
        let op = Op::Attach(Attach { container: container.into(), stream: opening.stream, stdin, stdout, stderr });
        requester.ask(op, Vec::new()).await?;
        Ok(opening.into_streams(stdin, false))
    }

    async fn dial(&self, port: u16) -> Result<ByteStreams, PodError> {
        let requester = self.requester()?;
        let opening = Opening::new(&requester, true, false)?;
        requester.ask(Op::Dial(Dial { port: port.into(), stream: opening.stream }), Vec::new()).await?;
        opening.into_bytes().ok_or_else(unexpected)
    }

    fn events(&self) -> broadcast::Receiver<PodEvent> {
        self.subscribe()
    }
}
