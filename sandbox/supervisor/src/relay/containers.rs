//! The containers of a guest, with their logs and exits: the shim's own account of them.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::time::{Instant, SystemTime};

use cofferdam_pod_api::{
    ContainerExit, ContainerState, ContainerStatus, ExitReport, Log, LogAck, MAX_DATA, PodError, STDERR, STDOUT,
    Status, StatusList, status_to,
};

use crate::exits::ExitRecords;
use crate::logs::LogFile;

/// Containers that a VM may have at a time; beyond it lies no real pod.
const MOST: usize = 256;

/// The containers of a guest, with their logs and exits.
pub(super) struct GuestContainers {
    containers: BTreeMap<String, GuestContainer>,
    exits: ExitRecords,
    /// Number of the last log or exit frame.
    sequence: u64,
    /// That number is not acknowledged yet.
    unacknowledged: bool,
}

struct GuestContainer {
    status: ContainerStatus,
    log: LogFile,
    /// It was killed: when it must have exited at the latest.
    ends: Option<Instant>,
    /// It could not be started, and tells no exit.
    failed: bool,
}

impl GuestContainer {
    fn tells_exit(&self) -> bool {
        !self.failed && self.status.state != ContainerState::Exited
    }
}

impl GuestContainers {
    /// None yet, and where exits are recorded.
    pub(super) fn new(exits: ExitRecords) -> Self {
        GuestContainers { containers: BTreeMap::new(), exits, sequence: 0, unacknowledged: false }
    }

    /// A container is about to be created: its log stays here, and so does the space for its exit.
    pub(super) fn add(&mut self, id: &str, log: Option<OwnedFd>) -> Result<(), PodError> {
        if self.containers.contains_key(id) {
            return Err(PodError::State(format!("container {id} exists already")));
        }
        if self.containers.len() >= MOST {
            return Err(PodError::Invalid(format!("more than {MOST} containers in one VM")));
        }
        self.exits
            .reserve(id, "")
            .map_err(|error| PodError::Failed(format!("space for the exit record of {id}: {error}")))?;
        let (state, id) = (ContainerState::Created, id.to_owned());
        let status = ContainerStatus { id: id.clone(), state, pid: 0, started_at: None, exit: None };
        self.containers.insert(id, GuestContainer { status, log: LogFile::new(log), ends: None, failed: false });
        Ok(())
    }

    /// The id, if there is such a container.
    pub(super) fn known(&self, id: &str) -> Result<String, PodError> {
        match self.containers.contains_key(id) {
            true => Ok(id.to_owned()),
            false => Err(PodError::NotFound(format!("container {id} is not known"))),
        }
    }

    /// The container is killed; its exit must be told by then. Asked for again, the first time counts.
    pub(super) fn must_end(&mut self, id: &str, by: Instant) {
        if let Some(container) = self.containers.get_mut(id).filter(|c| c.tells_exit()) {
            container.ends.get_or_insert(by);
        }
    }

    /// When the exit of the next killed container is due.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.containers.values().filter_map(|container| container.ends).min()
    }

    /// A container that was killed and has not exited in its time.
    pub(super) fn overdue(&self, now: Instant) -> Option<&str> {
        let late = self.containers.values().find(|container| container.ends.is_some_and(|ends| ends <= now))?;
        Some(&late.status.id)
    }

    /// All of them.
    pub(super) fn list(&self) -> StatusList {
        StatusList { containers: self.containers.values().map(|container| status_to(&container.status)).collect() }
    }

    /// Continues a log in another file.
    pub(super) fn reopen(&mut self, id: &str, log: OwnedFd) -> Result<(), PodError> {
        let container = self.containers.get_mut(id);
        let container = container.ok_or_else(|| PodError::NotFound(format!("container {id} is not known")))?;
        container.log.reopen(log);
        Ok(())
    }

    /// The guest has told the status of a container that was created or, if so, started: what the daemon is told of it.
    pub(super) fn told(&mut self, id: &str, status: &Status, started: bool) -> Result<Status, String> {
        let container = self.containers.get_mut(id).ok_or("the status of a forgotten container")?;
        if status.id != *id {
            return Err("the status of another container".into());
        }
        if container.status.state != ContainerState::Exited {
            container.status.pid = status.pid;
            if started {
                container.status.state = ContainerState::Running;
                container.status.started_at = Some(SystemTime::now());
            }
        }
        Ok(status_to(&container.status))
    }

    /// A container could not be started: its end is the answer to start, and no event follows.
    pub(super) fn failed_to_start(&mut self, id: &str) {
        if let Some(container) = self.containers.get_mut(id)
            && container.status.state == ContainerState::Created
        {
            container.status.pid = 0;
            container.failed = true;
            container.ends = None;
        }
    }

    /// A container was deleted, or could not be created.
    pub(super) fn forget(&mut self, id: &str) {
        self.containers.remove(id);
        self.exits.release(id);
    }

    /// Output of a container.
    pub(super) fn log(&mut self, log: &Log) -> Result<(), String> {
        let container = self.numbered(log.sequence, &log.container)?;
        if log.data.len() > MAX_DATA || ![STDOUT, STDERR].contains(&log.channel) {
            return Err("a log frame that cannot be".into());
        }
        container.log.write(log.channel, &log.data);
        if log.eof {
            container.log.finish(log.channel);
        }
        Ok(())
    }

    /// The end of a container: recorded, and to be announced.
    pub(super) fn exit(&mut self, report: ExitReport) -> Result<ContainerExit, String> {
        let container = self.numbered(report.sequence, &report.container)?;
        if !(0..=255).contains(&report.code) {
            return Err(format!("exit code {}", report.code));
        }
        container.log.finish_all();
        container.ends = None;
        let exit =
            ContainerExit { container: report.container, code: report.code, oom: report.oom, at: SystemTime::now() };
        container.status.state = ContainerState::Exited;
        container.status.pid = 0;
        container.status.exit = Some(exit.clone());
        self.record(&exit);
        Ok(exit)
    }

    // Logs and exits share one sequence without gaps.
    fn numbered(&mut self, sequence: u64, container: &str) -> Result<&mut GuestContainer, String> {
        if sequence != self.sequence + 1 {
            return Err(format!("log frame {sequence} after {}", self.sequence));
        }
        self.sequence = sequence;
        self.unacknowledged = true;
        let container = self.containers.get_mut(container).ok_or("the log of an unknown container")?;
        match container.status.state {
            ContainerState::Exited => Err("the log of a container that has exited".into()),
            _ => Ok(container),
        }
    }

    /// What the guest is to be told of logs and exits that were written since the last time.
    pub(super) fn acknowledgement(&mut self) -> Option<LogAck> {
        std::mem::take(&mut self.unacknowledged).then_some(LogAck { sequence: self.sequence })
    }

    /// Every container has exited.
    pub(super) fn all_exited(&self) -> bool {
        self.containers.values().all(|container| container.status.state == ContainerState::Exited)
    }

    /// The VM is killed with what is left in it: the exits of those containers, recorded and to be announced.
    pub(super) fn killed(&mut self) -> Vec<ContainerExit> {
        let left = self.containers.values().filter(|container| container.status.state != ContainerState::Exited);
        let exits: Vec<ContainerExit> = left
            .map(|container| ContainerExit {
                container: container.status.id.clone(),
                code: 137,
                oom: false,
                at: SystemTime::now(),
            })
            .collect();
        exits.iter().for_each(|exit| self.record(exit));
        exits
    }

    /// What is left in the guest ends with the sandbox, whose last word says why: no exits of its own.
    pub(super) fn abandon(&mut self) {
        self.containers.retain(|_, container| container.status.state == ContainerState::Exited);
    }

    fn record(&mut self, exit: &ContainerExit) {
        if let Err(error) = self.exits.record(exit) {
            eprintln!("exit record of {}: {error}", exit.container);
        }
    }

    /// Records why the sandbox is dead.
    pub(super) fn last_word(&mut self, reason: &str) {
        if let Err(error) = self.exits.gone(reason) {
            eprintln!("last word: {error}");
        }
    }
}
