//! Requests of the daemon, passed on to the agent.

use std::os::fd::OwnedFd;

use cofferdam_pod_api::{Body, Create, Empty, Op, Outcome, Request, StatusList, status_to};
use cofferdam_sandbox::{ContainerSpec, ContainerState, ContainerStatus, PodError};

use super::stream::Relay;
use super::{Phase, RemoteBackend, RemoteContainer};
use crate::log::LogFile;
use crate::serve::Origin;

/// Containers that a VM may have at a time; beyond it lies no real pod.
const MOST_CONTAINERS: usize = 256;

/// A request that the agent has not answered.
pub(super) struct Pending {
    /// Who asked; `None` if it is gone.
    pub(super) origin: Option<Origin>,
    pub(super) expects: Expects,
}

/// What the answer must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expects {
    /// Of the shim itself.
    Setup,
    /// Of the shim itself.
    Stop,
    /// A new container's status.
    Created(String),
    /// A started container's status.
    Started(String),
    /// The container is forgotten.
    Deleted(String),
    /// A stream was opened.
    Opened(u32),
    /// Done.
    Empty,
    /// Limits in force.
    Resources,
    /// Resource use.
    Stats,
}

impl Pending {
    /// A connection is over: nobody waits for the answer.
    pub(super) fn forget(&mut self, connection: u32) {
        self.origin = self.origin.filter(|origin| origin.connection != connection);
    }
}

impl RemoteBackend {
    pub(super) fn forward(&mut self, origin: Origin, mut op: Op, mut fds: Vec<OwnedFd>) -> Result<(), PodError> {
        match self.phase {
            Phase::Ready => {}
            Phase::Stopping => return Err(PodError::State("the sandbox is being stopped".into())),
            _ => return Err(PodError::State("the VM is not up yet".into())),
        }
        let expects = match &mut op {
            Op::Create(create) => self.prepare(create, fds.pop())?,
            Op::Start(start) => Expects::Started(self.known(&start.container)?),
            Op::Signal(signal) => {
                self.known(&signal.container)?;
                Expects::Empty
            }
            Op::Delete(delete) => Expects::Deleted(delete.container.clone()),
            Op::Update(update) => {
                self.known(&update.container)?;
                Expects::Resources
            }
            Op::Stats(_) => Expects::Stats,
            Op::Exec(exec) => self.open(origin, &mut exec.stream)?,
            Op::Attach(attach) => self.open(origin, &mut attach.stream)?,
            Op::Dial(dial) => self.open(origin, &mut dial.stream)?,
            Op::Resize(resize) => self.steer(origin, &mut resize.stream)?,
            Op::KillStream(kill) => self.steer(origin, &mut kill.stream)?,
            Op::Setup(_) | Op::Boot(_) | Op::Stop(_) | Op::List(_) | Op::ReopenLog(_) => {
                return Err(PodError::Invalid("not for a guest".into()));
            }
        };
        self.ask(Some(origin), op, expects);
        Ok(())
    }

    /// Asks the agent.
    pub(super) fn ask(&mut self, origin: Option<Origin>, op: Op, expects: Expects) {
        let id = self.next_request;
        self.next_request += 1;
        self.pending.insert(id, Pending { origin, expects });
        self.send(Body::Request(Request { id, fds: 0, op: Some(op) }));
    }

    fn known(&self, id: &str) -> Result<String, PodError> {
        match self.containers.contains_key(id) {
            true => Ok(id.to_owned()),
            false => Err(PodError::NotFound(format!("container {id} is not known"))),
        }
    }

    // The log stays here, and so does the space for the exit.
    fn prepare(&mut self, create: &mut Create, log: Option<OwnedFd>) -> Result<Expects, PodError> {
        let spec: ContainerSpec = serde_json::from_slice(&create.spec)
            .map_err(|error| PodError::Invalid(format!("container spec: {error}")))?;
        if self.containers.contains_key(&spec.id) {
            return Err(PodError::State(format!("container {} exists already", spec.id)));
        }
        if self.containers.len() >= MOST_CONTAINERS {
            return Err(PodError::Invalid(format!("more than {MOST_CONTAINERS} containers in one VM")));
        }
        self.exits
            .reserve(&spec.id, "")
            .map_err(|error| PodError::Failed(format!("space for the exit record of {}: {error}", spec.id)))?;
        create.log = false;
        let id = spec.id.clone();
        let status =
            ContainerStatus { id: spec.id, state: ContainerState::Created, pid: 0, started_at: None, exit: None };
        self.containers.insert(id.clone(), RemoteContainer { status, log: LogFile::new(log) });
        Ok(Expects::Created(id))
    }

    fn open(&mut self, origin: Origin, stream: &mut u32) -> Result<Expects, PodError> {
        let key = (origin.connection, *stream);
        if self.relay_of(key).is_some() {
            return Err(PodError::Protocol(format!("stream {stream} is open already")));
        }
        let number = self.next_stream;
        self.next_stream = self.next_stream.wrapping_add(1);
        self.streams.insert(number, Relay::new(key));
        *stream = number;
        Ok(Expects::Opened(number))
    }

    fn steer(&mut self, origin: Origin, stream: &mut u32) -> Result<Expects, PodError> {
        match self.relay_of((origin.connection, *stream)) {
            Some((number, _)) => {
                *stream = number;
                Ok(Expects::Empty)
            }
            None => Err(PodError::NotFound(format!("stream {stream} is over"))),
        }
    }

    pub(super) fn list(&self) -> Outcome {
        let containers = self.containers.values().map(|container| status_to(&container.status)).collect();
        Outcome::StatusList(StatusList { containers })
    }

    pub(super) fn reopen(&mut self, id: &str, mut fds: Vec<OwnedFd>) -> Result<Outcome, PodError> {
        let log = fds.pop().ok_or_else(|| PodError::Protocol("no log came along".into()))?;
        let container = self.containers.get_mut(id);
        let container = container.ok_or_else(|| PodError::NotFound(format!("container {id} is not known")))?;
        container.log.reopen(log);
        Ok(Outcome::Empty(Empty {}))
    }
}
