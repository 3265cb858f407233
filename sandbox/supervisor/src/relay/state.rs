//! The relay's state, and how it asks the agent.

use std::time::Instant;

use cofferdam_pod_api::{Body, BootedProcesses, GuestSetup, Op, Patience};

use super::containers::GuestContainers;
use super::machine::Machine;
use super::ports::GuestPorts;
use super::questions::{Expects, Questions};
use super::streams::RelayedStreams;
use super::watched::Watched;
use crate::exits::ExitRecords;
use crate::serve::Origin;

/// Passes what the daemon asks on to the agent of one VM.
pub struct Relay {
    pub(super) machine: Box<dyn Machine>,
    pub(super) phase: Phase,
    pub(super) guest: Option<GuestPorts>,
    /// Who waits for the boot, and what is answered.
    pub(super) boot: Option<(Origin, BootedProcesses)>,
    /// Sent to the agent once it has answered the hello.
    pub(super) setup: Option<GuestSetup>,
    pub(super) watched: Watched,
    pub(super) containers: GuestContainers,
    pub(super) questions: Questions,
    pub(super) streams: RelayedStreams,
    pub(super) stopping: Option<Origin>,
    /// The guest has answered the stop: only exits that are still under way are waited for.
    pub(super) drained: bool,
    /// When the boot has failed.
    pub(super) deadline: Option<Instant>,
    /// When the present phase has to do something by itself.
    pub(super) timer: Option<Instant>,
    /// How long the guest may take for what.
    pub(super) patience: Patience,
}

/// How far the guest is; see the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Off,
    Greeting,
    SettingUp,
    Ready,
    Stopping,
}

impl Relay {
    /// A VM that is not booted yet, and where exits are recorded.
    pub fn new(machine: Box<dyn Machine>, exits: ExitRecords) -> Self {
        Self::with_patience(machine, exits, Patience::default())
    }

    /// With other limits of time.
    pub fn with_patience(machine: Box<dyn Machine>, exits: ExitRecords, patience: Patience) -> Self {
        Relay {
            machine,
            phase: Phase::Off,
            guest: None,
            boot: None,
            setup: None,
            watched: Watched::default(),
            containers: GuestContainers::new(exits),
            questions: Questions::default(),
            streams: RelayedStreams::default(),
            stopping: None,
            drained: false,
            deadline: None,
            timer: None,
            patience,
        }
    }

    /// Asks the agent.
    pub(super) fn ask(&mut self, origin: Option<Origin>, op: Op, expects: Expects) {
        let limit = self.patience.with(&op);
        let request = self.questions.ask(origin, op, expects, Instant::now(), limit);
        self.send(Body::Request(request));
    }

    /// Queues a frame for the agent.
    pub(super) fn send(&mut self, body: Body) {
        if let Some(guest) = &mut self.guest {
            guest.queue(body);
        }
    }
}
