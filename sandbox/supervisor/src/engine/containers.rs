//! The operations on containers.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant, SystemTime};

use cofferdam_pod_api::{
    ContainerState, ContainerStatus, Create, Empty, Outcome, PodError, Resources, StatsReply, StatusList, Update,
    status_to,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};

use super::process::Role;
use super::state::{Engine, SupervisedContainer};
use crate::serve::Context;

/// How long a killed process may take to end before its deletion fails.
const KILLED: Duration = Duration::from_secs(5);

const DONE: Outcome = Outcome::Empty(Empty {});

impl Engine {
    pub(super) fn create(
        &mut self,
        cx: &mut Context,
        create: &Create,
        log: Option<OwnedFd>,
    ) -> Result<Outcome, PodError> {
        let spec = create.content()?;
        if self.stopping.is_some() || self.dying.is_some() {
            return Err(PodError::State("the sandbox is being stopped".into()));
        }
        if self.containers.contains_key(&spec.id) {
            return Err(PodError::State(format!("container {} exists already", spec.id)));
        }
        let cgroup = spec
            .oci
            .linux()
            .as_ref()
            .and_then(|linux| linux.cgroups_path().as_ref())
            .map(|path| path.to_string_lossy());
        self.sink.open(&spec.id, cgroup.as_deref().unwrap_or_default(), log)?;
        let created = self.pod().and_then(|pod| pod.create(&spec));
        let (handle, launched) = created.inspect_err(|_| self.sink.close(&spec.id))?;
        let process = self.adopt(cx, Role::Container(spec.id.clone()), launched);
        let container = SupervisedContainer {
            handle,
            state: ContainerState::Created,
            process: Some(process),
            started_at: None,
            exit: None,
            failed: false,
            stdin_once: spec.stdio.stdin_once,
        };
        self.containers.insert(spec.id.clone(), container);
        self.resume_output(cx, process);
        self.status(&spec.id)
    }

    pub(super) fn start(&mut self, id: &str) -> Result<Outcome, PodError> {
        let container = self.container(id)?;
        if container.state != ContainerState::Created || container.failed {
            return Err(PodError::State(format!("container {id} was started already")));
        }
        if let Err(error) = container.handle.start() {
            container.failed = true;
            return Err(error);
        }
        container.state = ContainerState::Running;
        container.started_at = Some(SystemTime::now());
        self.status(id)
    }

    pub(super) fn signal(&mut self, id: &str, signal: i32, all: bool) -> Result<Outcome, PodError> {
        let container = self.container(id)?;
        if container.state == ContainerState::Exited {
            return Ok(DONE);
        }
        if all {
            container.handle.signal_all(signal)?;
            return Ok(DONE);
        }
        let number = container.process;
        let signal = signal_of(signal)?;
        if let Some(pidfd) =
            number.and_then(|number| self.processes.get(&number)).and_then(|process| process.pidfd.as_ref())
        {
            match pidfd_send_signal(pidfd, signal) {
                // It has ended, and that will be told.
                Ok(()) | Err(rustix::io::Errno::SRCH) => {}
                Err(error) => return Err(PodError::Failed(format!("signal to container {id}: {error}"))),
            }
        }
        Ok(DONE)
    }

    pub(super) fn delete(&mut self, cx: &mut Context, id: &str) -> Result<Outcome, PodError> {
        let Some(container) = self.containers.get_mut(id) else { return Ok(DONE) };
        if container.state == ContainerState::Running {
            return Err(PodError::State(format!("container {id} is running")));
        }
        // Never started, so its end is nobody's business.
        container.failed |= container.state == ContainerState::Created;
        container.handle.signal_all(Signal::KILL.as_raw())?;
        if let Some(number) = container.process {
            self.await_end(cx, number)?;
        }
        if let Some(container) = self.containers.get_mut(id) {
            container.handle.remove()?;
        }
        self.containers.remove(id);
        self.sink.close(id);
        Ok(DONE)
    }

    fn await_end(&mut self, cx: &mut Context, number: u32) -> Result<(), PodError> {
        let Some(pidfd) = self.processes.get(&number).and_then(|process| process.pidfd.as_ref()) else { return Ok(()) };
        let deadline = Instant::now() + KILLED;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
            match poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&left)) {
                Ok(0) => return Err(PodError::Failed("a killed process does not end".into())),
                Err(rustix::io::Errno::INTR) => continue,
                _ => break,
            }
        }
        let _ = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
        self.exited(cx, number, 128 + Signal::KILL.as_raw());
        Ok(())
    }

    pub(super) fn update(&mut self, update: &Update) -> Result<Outcome, PodError> {
        let resources = update.content()?;
        let applied = self.container(&update.container)?.handle.update(&resources)?;
        Ok(Outcome::Resources(Resources::new(&applied)?))
    }

    pub(super) fn stats(&mut self, id: &str) -> Result<Outcome, PodError> {
        let stats = if id.is_empty() { self.pod()?.stats()? } else { self.container(id)?.handle.stats()? };
        Ok(Outcome::StatsReply(StatsReply::new(&stats)?))
    }

    pub(super) fn reopen(&mut self, id: &str, log: Option<OwnedFd>) -> Result<Outcome, PodError> {
        self.container(id)?;
        let log = log.ok_or_else(|| PodError::Protocol("no log came along".into()))?;
        self.sink.reopen(id, log)?;
        Ok(DONE)
    }

    pub(super) fn list(&self) -> Outcome {
        let containers =
            self.containers.keys().filter_map(|id| self.status_of(id)).map(|status| status_to(&status)).collect();
        Outcome::StatusList(StatusList { containers })
    }

    fn status(&self, id: &str) -> Result<Outcome, PodError> {
        match self.status_of(id) {
            Some(status) => Ok(Outcome::Status(status_to(&status))),
            None => Err(PodError::NotFound(format!("container {id} is not known"))),
        }
    }

    fn status_of(&self, id: &str) -> Option<ContainerStatus> {
        let container = self.containers.get(id)?;
        let pid = container.process.and_then(|number| self.processes.get(&number)).map_or(0, |process| process.pid);
        let (state, started_at, exit) = (container.state, container.started_at, container.exit.clone());
        Some(ContainerStatus { id: id.to_owned(), state, pid, started_at, exit })
    }
}

/// A signal by number, real-time ones included.
pub(super) fn signal_of(number: i32) -> Result<Signal, PodError> {
    Signal::from_named_raw(number).ok_or_else(|| PodError::Invalid(format!("signal {number} is not known")))
}
