//! What the daemon asks: the boot of the VM, and requests that are passed on to the agent.

use std::os::fd::OwnedFd;
use std::time::Instant;

use cofferdam_pod_api::{BootConfig, Create, Empty, Op, Outcome, PodError};

use super::ports::GuestPorts;
use super::questions::Expects;
use super::state::{Phase, Relay};
use super::watched::Watched;
use crate::serve::{Context, Origin};

const SIGKILL: i32 = 9;

impl Relay {
    /// Starts the VM. Answered when its agent is set up.
    pub(super) fn boot(
        &mut self,
        cx: &mut Context,
        origin: Origin,
        config: BootConfig,
        fds: Vec<OwnedFd>,
    ) -> Result<(), PodError> {
        if self.phase != Phase::Off {
            return Err(PodError::State("the VM was booted already".into()));
        }
        let booted = self.machine.boot(config, fds)?;
        let ports = GuestPorts::new(cx, booted.control, booted.data)
            .map_err(|error| PodError::Failed(format!("ports of the VM: {error}")))?;
        self.watched = Watched::new(cx, booted.watched)?;
        self.boot = Some((origin, booted.processes));
        self.setup = Some(booted.setup);
        self.phase = Phase::Greeting;
        self.deadline = Some(Instant::now() + self.patience.boot);
        self.timer = Some(self.guest.insert(ports).greet());
        Ok(())
    }

    /// Passes a request on.
    pub(super) fn forward(&mut self, origin: Origin, mut op: Op, mut fds: Vec<OwnedFd>) -> Result<(), PodError> {
        match self.phase {
            Phase::Ready => {}
            Phase::Stopping => return Err(PodError::State("the sandbox is being stopped".into())),
            _ => return Err(PodError::State("the VM is not up yet".into())),
        }
        self.questions.room()?;
        let expects = match &mut op {
            Op::Create(create) => self.prepare(create, fds.pop())?,
            Op::Start(start) => Expects::Started(self.containers.known(&start.container)?),
            Op::Signal(signal) => {
                self.containers.known(&signal.container)?;
                if signal.signal == SIGKILL {
                    self.containers.must_end(&signal.container, Instant::now() + self.patience.killed);
                }
                Expects::Empty
            }
            Op::Delete(delete) => Expects::Deleted(delete.container.clone()),
            Op::Update(update) => {
                self.containers.known(&update.container)?;
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

    // The guest gets no log: it stays here.
    fn prepare(&mut self, create: &mut Create, log: Option<OwnedFd>) -> Result<Expects, PodError> {
        let id = create.content()?.id;
        self.containers.add(&id, log)?;
        create.log = false;
        Ok(Expects::Created(id))
    }

    fn open(&mut self, origin: Origin, stream: &mut u32) -> Result<Expects, PodError> {
        *stream = self.streams.open((origin.connection, *stream))?;
        Ok(Expects::Opened(*stream))
    }

    fn steer(&mut self, origin: Origin, stream: &mut u32) -> Result<Expects, PodError> {
        let number = self.streams.number((origin.connection, *stream));
        *stream = number.ok_or_else(|| PodError::NotFound(format!("stream {stream} is over")))?;
        Ok(Expects::Empty)
    }

    /// Continues a container's log in the file that came along.
    pub(super) fn reopen(&mut self, id: &str, mut fds: Vec<OwnedFd>) -> Result<Outcome, PodError> {
        let log = fds.pop().ok_or_else(|| PodError::Protocol("no log came along".into()))?;
        self.containers.reopen(id, log)?;
        Ok(Outcome::Empty(Empty {}))
    }
}
