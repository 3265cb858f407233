//! The engine's state.

use std::collections::{BTreeMap, VecDeque};
use std::time::SystemTime;

use cofferdam_pod_api::{ContainerExit, ContainerState, PodError};

use super::guest::Guest;
use super::process::{Process, Role};
use super::runner::{ContainerHandle, Runner};
use super::sink::Sink;
use super::stream::Stream;
use crate::exits::ExitRecords;
use crate::serve::{Origin, StreamKey};

/// Runs the containers of one pod as children of this process.
pub struct Engine {
    pub(super) pod: Option<Box<dyn Runner>>,
    pub(super) guest: Option<Box<dyn Guest>>,
    pub(super) sink: Sink,
    pub(super) containers: BTreeMap<String, SupervisedContainer>,
    pub(super) processes: BTreeMap<u32, Process>,
    pub(super) streams: BTreeMap<StreamKey, Stream>,
    /// What ends because of bytes that were moved; looked at once they are.
    pub(super) due: VecDeque<Due>,
    next: u32,
    pub(super) stopping: Option<Origin>,
    /// Why the pod is dead, until all its containers have ended too.
    pub(super) dying: Option<String>,
}

/// Something that may have come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// A process whose input or output is over.
    Process(u32),
    /// A stream that is no longer served.
    Stream(StreamKey),
}

/// One container of the engine.
pub(super) struct SupervisedContainer {
    pub(super) handle: Box<dyn ContainerHandle>,
    pub(super) state: ContainerState,
    /// Key into the processes, while it has not exited.
    pub(super) process: Option<u32>,
    pub(super) started_at: Option<SystemTime>,
    pub(super) exit: Option<ContainerExit>,
    /// The command could not be executed: its end is the answer to start, not an event.
    pub(super) failed: bool,
    pub(super) stdin_once: bool,
}

impl Engine {
    /// For a shim: a pod, and where exits are recorded.
    pub fn new(pod: Box<dyn Runner>, exits: ExitRecords) -> Self {
        Self::with(Some(pod), None, Sink::files(exits))
    }

    /// For an agent: the pod comes with the set-up, logs and exits go to the shim.
    pub fn in_guest(guest: Box<dyn Guest>) -> Self {
        Self::with(None, Some(guest), Sink::shim())
    }

    fn with(pod: Option<Box<dyn Runner>>, guest: Option<Box<dyn Guest>>, sink: Sink) -> Self {
        Engine {
            pod,
            guest,
            sink,
            containers: BTreeMap::new(),
            processes: BTreeMap::new(),
            streams: BTreeMap::new(),
            due: VecDeque::new(),
            next: 1,
            stopping: None,
            dying: None,
        }
    }

    pub(super) fn pod(&mut self) -> Result<&mut dyn Runner, PodError> {
        match &mut self.pod {
            Some(pod) => Ok(pod.as_mut()),
            None => Err(PodError::State("the guest is not set up yet".into())),
        }
    }

    pub(super) fn container(&mut self, id: &str) -> Result<&mut SupervisedContainer, PodError> {
        self.containers.get_mut(id).ok_or_else(|| PodError::NotFound(format!("container {id} is not known")))
    }

    pub(super) fn number(&mut self) -> u32 {
        loop {
            let number = self.next;
            // Two bits are the channel's in tokens.
            self.next = (self.next + 1) & (u32::MAX >> 2);
            if number != 0 && !self.processes.contains_key(&number) {
                return number;
            }
        }
    }

    pub(super) fn role(&self, number: u32) -> Option<&Role> {
        self.processes.get(&number).map(|process| &process.role)
    }
}
