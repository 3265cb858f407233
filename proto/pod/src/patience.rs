//! How long the one who is asked may take. Whoever takes longer counts as hung, and is killed by the one who asks.

use std::time::Duration;

use crate::ops::Op;

/// The limits of one side of the protocol. Shim and daemon have the same; the daemon waits [`Patience::MARGIN`] longer,
/// since the shim knows better what a guest failed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// From power-on to the end of a guest's set-up: an emulated one on a loaded node takes its time, and kubelet's
    /// patience with RunPodSandbox is 4 minutes.
    pub boot: Duration,
    /// To set a container up and to start it: mounts may be slow. Kubelet's patience with either is 2 minutes.
    pub setup: Duration,
    /// For everything else that is asked.
    pub answer: Duration,
    /// From SIGKILL to the exit of a container in a guest.
    pub killed: Duration,
    /// To end all containers of a sandbox. StopPodSandbox has 10 s whatever happens, and kills what is left after this.
    pub stop: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Patience { boot: seconds(120), setup: seconds(120), answer: seconds(30), killed: seconds(15), stop: seconds(3) }
    }
}

impl Patience {
    /// How much longer a daemon waits for a shim than that one for its guest.
    pub const MARGIN: Duration = Duration::from_secs(10);

    /// The limit of an operation.
    pub fn with(&self, op: &Op) -> Duration {
        match op {
            Op::Boot(_) | Op::Setup(_) => self.boot,
            Op::Create(_) | Op::Start(_) => self.setup,
            Op::Stop(_) => self.stop,
            Op::Signal(_)
            | Op::Delete(_)
            | Op::Update(_)
            | Op::List(_)
            | Op::Stats(_)
            | Op::ReopenLog(_)
            | Op::Exec(_)
            | Op::Attach(_)
            | Op::Dial(_)
            | Op::Resize(_)
            | Op::KillStream(_) => self.answer,
        }
    }
}

impl Op {
    /// What is asked for, in a word.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Create(_) => "create",
            Op::Start(_) => "start",
            Op::Signal(_) => "signal",
            Op::Delete(_) => "delete",
            Op::Update(_) => "update",
            Op::List(_) => "list",
            Op::Stats(_) => "stats",
            Op::ReopenLog(_) => "reopen log",
            Op::Exec(_) => "exec",
            Op::Attach(_) => "attach",
            Op::Dial(_) => "dial",
            Op::Resize(_) => "resize",
            Op::KillStream(_) => "kill exec",
            Op::Stop(_) => "stop",
            Op::Boot(_) => "boot",
            Op::Setup(_) => "set-up",
        }
    }
}
