//! A container's record, and the states it passes through.
//!
//! ```text
//!  new ──> Creating ──become_created──> Created ──run──> Running
//!             │                            │                │
//!             │                            └───── end ──────┴──> Exited
//!             │                            │                │      │
//!             └───── begin_removal ────────┴────────────────┴──────┴──> Removing ──> (record removed)
//! ```
//! Phase, start and exit change by these methods only; each says whether it did. The exit may be known before the start
//! is (a short-lived process), and is set once: whoever comes first wins.

use std::path::PathBuf;

use cofferdam_cri_api::v1 as cri;
use oci_spec::runtime::Process;
use serde::{Deserialize, Serialize};

use crate::encoded::Encoded;
use crate::table::Record;

/// Where a container stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContainerPhase {
    /// Intent written; CreateContainer has not succeeded. Never shown; undone by recovery.
    Creating,
    /// CREATED.
    Created,
    /// RUNNING.
    Running,
    /// EXITED.
    Exited,
    /// RemoveContainer has begun. Never shown; finished by recovery.
    Removing,
}

/// How a container ended, as CRI shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// As the process gave it; 128 + signal where a signal ended it, 255 if nobody knows.
    pub code: i32,
    /// `Completed`, `Error`, `OOMKilled`, `StartError` or `Unknown`.
    pub reason: String,
    /// Says more where the reason does not suffice; may be empty.
    pub message: String,
    /// Nanoseconds since the epoch.
    pub at: i64,
}

/// The name by which a repeated CreateContainer is recognised.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ContainerName {
    /// Id of the pod sandbox.
    pub sandbox: String,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.attempt`.
    pub attempt: u32,
}

/// What is known of a container before anything is made.
#[derive(Debug, Clone)]
pub struct NewContainer {
    /// 64 hex digits.
    pub id: String,
    /// Pod sandbox, name and attempt.
    pub name: ContainerName,
    /// The request's config.
    pub config: Encoded<cri::ContainerConfig>,
    /// Image id (config digest).
    pub image_id: String,
    /// Repo digest, or the id where there is none.
    pub image_ref: String,
    /// Absolute log path; empty: no log.
    pub log_path: PathBuf,
    /// Signal that asks it to stop.
    pub stop_signal: i32,
    /// Nanoseconds since the epoch.
    pub created_at: i64,
}

/// A container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerEntry {
    /// 64 hex digits.
    pub id: String,
    /// Its pod sandbox.
    pub sandbox: String,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.attempt`.
    pub attempt: u32,
    /// The request's config.
    pub config: Encoded<cri::ContainerConfig>,
    process: Process,
    /// Image id (config digest).
    pub image_id: String,
    /// Repo digest, or the id where there is none.
    pub image_ref: String,
    /// Absolute log path; empty: no log.
    pub log_path: PathBuf,
    /// Signal that asks it to stop.
    pub stop_signal: i32,
    /// Limits in force.
    pub resources: Encoded<cri::LinuxContainerResources>,
    user: (i64, i64, Vec<i64>),
    phase: ContainerPhase,
    /// Nanoseconds since the epoch.
    pub created_at: i64,
    started_at: i64,
    pid: u32,
    exit: Option<Exit>,
}

impl ContainerEntry {
    /// The intent to make a container: phase `Creating`, nothing made yet.
    pub fn new(new: NewContainer) -> Self {
        let resources = new.config.linux.as_ref().and_then(|l| l.resources.clone()).unwrap_or_default();
        ContainerEntry {
            id: new.id,
            sandbox: new.name.sandbox,
            name: new.name.name,
            attempt: new.name.attempt,
            config: new.config,
            process: Process::default(),
            image_id: new.image_id,
            image_ref: new.image_ref,
            log_path: new.log_path,
            stop_signal: new.stop_signal,
            resources: resources.into(),
            user: (0, 0, Vec::new()),
            phase: ContainerPhase::Creating,
            created_at: new.created_at,
            started_at: 0,
            pid: 0,
            exit: None,
        }
    }

    /// The name that a retry repeats.
    pub fn name(&self) -> ContainerName {
        ContainerName { sandbox: self.sandbox.clone(), name: self.name.clone(), attempt: self.attempt }
    }

    /// Where it stands.
    pub fn phase(&self) -> ContainerPhase {
        self.phase
    }

    /// Whether clients are shown it.
    pub fn visible(&self) -> bool {
        !matches!(self.phase, ContainerPhase::Creating | ContainerPhase::Removing)
    }

    /// The process as it was set up: execs get its user, environment, directory and privileges.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// User that it runs as: uid, gid, supplemental groups.
    pub fn user(&self) -> &(i64, i64, Vec<i64>) {
        &self.user
    }

    /// Nanoseconds since the epoch; 0 if it never ran.
    pub fn started_at(&self) -> i64 {
        self.started_at
    }

    /// PID on the host (namespace) or in the guest (VM); 0 when not running.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// How it ended.
    pub fn exit(&self) -> Option<&Exit> {
        self.exit.as_ref()
    }

    /// Creating to Created; to Exited if its process has died meanwhile.
    pub fn become_created(&mut self, process: Process, user: (i64, i64, Vec<i64>)) -> bool {
        let creating = self.phase == ContainerPhase::Creating;
        if creating {
            self.phase = if self.exit.is_some() { ContainerPhase::Exited } else { ContainerPhase::Created };
            self.process = process;
            self.user = user;
        }
        creating
    }

    /// Created to Running. After an exit that was recorded first, only the time of the start is news.
    pub fn run(&mut self, pid: u32, started_at: i64) {
        if self.phase == ContainerPhase::Created {
            self.phase = ContainerPhase::Running;
        }
        if self.started_at == 0 {
            self.started_at = self.exit.as_ref().map_or(started_at, |exit| started_at.min(exit.at));
        }
        if self.phase == ContainerPhase::Running {
            self.pid = pid;
        }
    }

    /// To Exited, with the first exit that is known. One that is being made or removed is not shown, and stays so.
    pub fn end(&mut self, exit: Exit) -> bool {
        if self.exit.is_some() {
            return false;
        }
        self.exit = Some(exit);
        self.pid = 0;
        if self.visible() {
            self.phase = ContainerPhase::Exited;
        }
        true
    }

    /// To Removing, from everywhere.
    pub fn begin_removal(&mut self) {
        self.phase = ContainerPhase::Removing;
    }
}

impl Record for ContainerEntry {
    const TABLE: &'static str = "containers";
    fn id(&self) -> &str {
        &self.id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> ContainerEntry {
        let name = ContainerName { sandbox: "s".into(), name: "c".into(), attempt: 0 };
        let (id, config, created_at) = ("a".into(), cri::ContainerConfig::default().into(), 1);
        let (image_id, image_ref, log_path) = Default::default();
        ContainerEntry::new(NewContainer {
            id,
            name,
            config,
            image_id,
            image_ref,
            log_path,
            stop_signal: 15,
            created_at,
        })
    }

    fn exit(code: i32) -> Exit {
        Exit { code, reason: "Error".into(), message: String::new(), at: 5 }
    }

    #[test]
    fn the_first_exit_stays() {
        let mut c = entry();
        assert!(c.become_created(Process::default(), (0, 0, vec![])));
        c.run(7, 3);
        assert_eq!((c.phase(), c.pid(), c.started_at()), (ContainerPhase::Running, 7, 3));
        assert!(c.end(exit(1)) && !c.end(exit(2)));
        assert_eq!((c.phase(), c.pid(), c.exit().unwrap().code), (ContainerPhase::Exited, 0, 1));
    }

    #[test]
    fn a_start_that_is_recorded_after_the_exit_is_no_later_than_it() {
        let mut c = entry();
        c.become_created(Process::default(), (0, 0, vec![]));
        c.end(exit(0));
        c.run(7, 9);
        assert_eq!((c.phase(), c.pid(), c.started_at()), (ContainerPhase::Exited, 0, 5));
    }

    #[test]
    fn what_is_being_removed_stays_so() {
        let mut c = entry();
        c.begin_removal();
        assert!(!c.become_created(Process::default(), (0, 0, vec![])));
        c.run(7, 3);
        assert!(c.end(exit(137)));
        assert_eq!((c.phase(), c.pid()), (ContainerPhase::Removing, 0));
    }
}
