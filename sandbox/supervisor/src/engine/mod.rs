//! The local backend: containers that are children of this process, in a shim or in a guest.
//!
//! ```text
//! container:  (create) Created ──start──> Running ──process ends──> Exited ──delete──> (gone)
//!                         └──process ends / delete────────────────────┘
//! ```
//! Only this module changes a container's state. An exit is published in this order: the rest of the cgroup is killed, the output is
//! read to its end, the log is complete, the record is durable, the event goes out, attached streams end.

mod container;
mod exit;
mod input;
mod open;
mod output;
mod process;
mod sink;
mod stream;

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::time::SystemTime;

use cofferdam_pod_api::{Body, Empty, Op, Outcome};
use cofferdam_sandbox::{ContainerExit, ContainerState, PodError};
use rustix::process::{WaitId, WaitIdOptions, waitid};

use crate::exits::ExitRecords;
use crate::machine::Guest;
use crate::runner;
use crate::serve::{Backend, Context, Origin, Ready, StreamKey, Token, kind};
use process::{Process, Role};
use sink::Sink;
use stream::Stream;

/// See the module.
pub struct Engine {
    pod: Option<Box<dyn runner::Pod>>,
    guest: Option<Box<dyn Guest>>,
    sink: Sink,
    containers: BTreeMap<String, Container>,
    processes: BTreeMap<u32, Process>,
    streams: BTreeMap<StreamKey, Stream>,
    next: u32,
    stopping: Option<Origin>,
    /// Why the pod is dead, until all its containers have ended too.
    dying: Option<String>,
}

struct Container {
    handle: Box<dyn runner::Container>,
    state: ContainerState,
    /// Key into the processes, while it has not exited.
    process: Option<u32>,
    started_at: Option<SystemTime>,
    exit: Option<ContainerExit>,
    /// The command could not be executed: its end is the answer to start, not an event.
    failed: bool,
    stdin_once: bool,
}

impl Engine {
    /// For a shim: a pod, and where exits are recorded.
    pub fn new(pod: Box<dyn runner::Pod>, exits: ExitRecords) -> Self {
        Self::with(Some(pod), None, Sink::files(exits))
    }

    /// For an agent: the pod comes with the set-up, logs and exits go to the shim.
    pub fn in_guest(guest: Box<dyn Guest>) -> Self {
        Self::with(None, Some(guest), Sink::shim())
    }

    fn with(pod: Option<Box<dyn runner::Pod>>, guest: Option<Box<dyn Guest>>, sink: Sink) -> Self {
        let (containers, processes, streams) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Engine { pod, guest, sink, containers, processes, streams, next: 1, stopping: None, dying: None }
    }

    fn pod(&mut self) -> Result<&mut dyn runner::Pod, PodError> {
        match &mut self.pod {
            Some(pod) => Ok(pod.as_mut()),
            None => Err(PodError::State("the guest is not set up yet".into())),
        }
    }

    fn container(&mut self, id: &str) -> Result<&mut Container, PodError> {
        self.containers.get_mut(id).ok_or_else(|| PodError::NotFound(format!("container {id} is not known")))
    }

    fn number(&mut self) -> u32 {
        loop {
            let number = self.next;
            // Two bits are the channel's in tokens.
            self.next = (self.next + 1) & (u32::MAX >> 2);
            if number != 0 && !self.processes.contains_key(&number) {
                return number;
            }
        }
    }

    fn setup(&mut self, config: &[u8]) -> Result<Outcome, PodError> {
        match (&self.pod, &mut self.guest) {
            (None, Some(guest)) => {
                self.pod = Some(guest.setup(config)?);
                Ok(Outcome::Empty(Empty {}))
            }
            (Some(_), Some(_)) => Err(PodError::State("the guest is set up already".into())),
            (_, None) => Err(PodError::Invalid("set-up is for a guest".into())),
        }
    }
}

impl Backend for Engine {
    fn request(&mut self, cx: &mut Context, origin: Origin, op: Op, mut fds: Vec<OwnedFd>) {
        let result = match op {
            Op::Create(create) => self.create(cx, &create.spec, fds.pop()),
            Op::Start(start) => self.start(&start.container),
            Op::Signal(signal) => self.signal(&signal.container, signal.signal, signal.all),
            Op::Delete(delete) => self.delete(cx, &delete.container),
            Op::Update(update) => self.update(&update.container, &update.resources),
            Op::List(_) => Ok(self.list()),
            Op::Stats(stats) => self.stats(&stats.container),
            Op::ReopenLog(reopen) => self.reopen(&reopen.container, fds.pop()),
            Op::Exec(exec) => self.exec(cx, origin.connection, &exec),
            Op::Attach(attach) => self.attach(cx, origin.connection, &attach),
            Op::Dial(dial) => match self.dial(cx, origin, &dial) {
                // Answered once it is connected.
                Ok(None) => return,
                Ok(Some(done)) => Ok(done),
                Err(error) => Err(error),
            },
            Op::Resize(resize) => self.resize((origin.connection, resize.stream), resize.columns, resize.rows),
            Op::KillStream(kill) => self.kill_stream((origin.connection, kill.stream)),
            Op::Stop(_) => return self.stop(cx, origin),
            Op::Setup(setup) => self.setup(&setup.config),
            Op::Boot(_) => Err(PodError::Invalid("boot is for a VM sandbox".into())),
        };
        cx.answer(origin, result);
    }

    fn frame(&mut self, cx: &mut Context, connection: u32, body: Body) -> Result<(), PodError> {
        match body {
            Body::StreamData(data) => self.input(cx, (connection, data.stream), data),
            Body::StreamCredit(credit) => self.credit(cx, (connection, credit.stream), credit.channel, credit.bytes),
            Body::StreamClose(close) => {
                self.close_stream(cx, (connection, close.stream));
                Ok(())
            }
            Body::LogAck(ack) => {
                self.sink.acknowledged(ack.sequence)?;
                self.resume_containers(cx);
                Ok(())
            }
            _ => Err(PodError::Protocol("not a stream's frame".into())),
        }
    }

    fn ready(&mut self, cx: &mut Context, token: Token, ready: Ready) {
        match token.kind {
            kind::OUTPUT => self.pump_output(cx, token.id >> 2, (token.id & 3) as usize),
            kind::INPUT => self.input_ready(cx, token.id),
            kind::PROCESS if ready.read => self.process_ended(cx, token.id),
            _ => {}
        }
    }

    fn reaped(&mut self, cx: &mut Context, pid: u32, code: i32) {
        let number = self.processes.iter().find(|(_, process)| process.pid == pid).map(|(number, _)| *number);
        if let Some(number) = number {
            self.exited(cx, number, code);
        } else if let Some(reason) = self.pod.as_mut().and_then(|pod| pod.dead()) {
            self.die(cx, reason);
        }
    }

    fn disconnected(&mut self, cx: &mut Context, connection: u32) {
        let keys: Vec<StreamKey> = self.streams.keys().copied().filter(|(owner, _)| *owner == connection).collect();
        keys.into_iter().for_each(|key| self.close_stream(cx, key));
    }
}

impl Engine {
    // The pidfd speaks also for children that send no SIGCHLD.
    fn process_ended(&mut self, cx: &mut Context, number: u32) {
        let Some(process) = self.processes.get_mut(&number) else { return };
        let Some(pidfd) = &process.pidfd else { return };
        let status =
            waitid(WaitId::PidFd(std::os::fd::AsFd::as_fd(pidfd)), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
        match status {
            Ok(Some(status)) => {
                let code = status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal));
                self.exited(cx, number, code.unwrap_or(255));
            }
            Ok(None) => {}
            // Somebody else has its status; without one it must not be waited for again and again.
            Err(_) => self.exited(cx, number, 255),
        }
    }

    fn role(&self, number: u32) -> Option<&Role> {
        self.processes.get(&number).map(|process| &process.role)
    }
}
