//! The remote backend: containers in a guest, behind an agent that speaks the same protocol over two ports.
//!
//! ```text
//!  Off ──boot──> Greeting ──hellos──> SettingUp ──set up──> Ready ──stop──> Stopping ──> (end)
//!                   └───────── a process behind the VM ends, or the guest talks nonsense ──> dead (end)
//! ```
//! The guest is hostile. All that it sends is bounded in size, in number and in time, checked against what was asked, and answered by killing the VM if
//! it does not fit. The list of containers, their logs and their exits are kept here, so what the daemon is told of them is never the guest's word
//! alone.

mod end;
mod forward;
mod guest;
mod link;
mod stream;

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use cofferdam_pod_api::{Body, Op, StreamClose};
use cofferdam_sandbox::{ContainerStatus, PodError};
use rustix::event::Timespec;

use crate::exits::ExitRecords;
use crate::log::LogFile;
use crate::machine::Machine;
use crate::serve::{Backend, Context, Origin, Ready, StreamKey, Token, kind};
use end::ended;
use forward::Pending;
use link::GuestLink;
use stream::Relay;

/// How long a guest may take from power-on to the end of its set-up: an emulated one on a loaded node takes its time, and kubelet's patience
/// with RunPodSandbox is 4 minutes.
const BOOT: Duration = Duration::from_secs(120);

/// See the module.
pub struct RemoteBackend {
    machine: Box<dyn Machine>,
    exits: ExitRecords,
    phase: Phase,
    guest: Option<GuestLink>,
    /// Who waits for the boot, and what is answered.
    boot: Option<(Origin, Vec<u8>)>,
    setup: Vec<u8>,
    watched: Vec<(String, OwnedFd)>,
    containers: BTreeMap<String, RemoteContainer>,
    /// Requests to the agent that it has not answered.
    pending: BTreeMap<u64, Pending>,
    next_request: u64,
    streams: BTreeMap<u32, Relay>,
    next_stream: u32,
    /// Number of the last log or exit frame.
    sequence: u64,
    /// Not acknowledged yet.
    unacknowledged: bool,
    stopping: Option<Origin>,
    /// The guest has answered the stop: only exits that are still under way are waited for.
    drained: bool,
    /// When the boot has failed.
    deadline: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Off,
    Greeting,
    SettingUp,
    Ready,
    Stopping,
}

struct RemoteContainer {
    status: ContainerStatus,
    log: LogFile,
}

impl RemoteBackend {
    /// A VM that is not booted yet, and where exits are recorded.
    pub fn new(machine: Box<dyn Machine>, exits: ExitRecords) -> Self {
        RemoteBackend {
            machine,
            exits,
            phase: Phase::Off,
            guest: None,
            boot: None,
            setup: Vec::new(),
            watched: Vec::new(),
            containers: BTreeMap::new(),
            pending: BTreeMap::new(),
            next_request: 1,
            streams: BTreeMap::new(),
            next_stream: 1,
            sequence: 0,
            unacknowledged: false,
            stopping: None,
            drained: false,
            deadline: None,
        }
    }

    fn relay_of(&mut self, key: StreamKey) -> Option<(u32, &mut Relay)> {
        self.streams.iter_mut().find(|(_, relay)| relay.key == key).map(|(number, relay)| (*number, relay))
    }
}

impl Backend for RemoteBackend {
    fn request(&mut self, cx: &mut Context, origin: Origin, op: Op, fds: Vec<OwnedFd>) {
        match op {
            Op::Boot(boot) => {
                if let Err(error) = self.boot(cx, origin, &boot.config, fds) {
                    cx.answer(origin, Err(error));
                }
            }
            Op::List(_) => {
                let list = self.list();
                cx.answer(origin, Ok(list));
            }
            Op::ReopenLog(reopen) => {
                let result = self.reopen(&reopen.container, fds);
                cx.answer(origin, result);
            }
            Op::Stop(_) => self.stop(cx, origin),
            other => {
                if let Err(error) = self.forward(origin, other, fds) {
                    cx.answer(origin, Err(error));
                }
            }
        }
        self.flush(cx);
    }

    fn frame(&mut self, cx: &mut Context, connection: u32, body: Body) -> Result<(), PodError> {
        self.relay_to_guest(connection, body)?;
        self.flush(cx);
        Ok(())
    }

    fn ready(&mut self, cx: &mut Context, token: Token, ready: Ready) {
        match token.kind {
            kind::GUEST => self.guest_ready(cx, token.id as usize, ready),
            kind::WATCHED => self.watched_ended(cx),
            _ => {}
        }
        self.flush(cx);
    }

    // Its pidfd tells as well, but only now is it known how it ended.
    fn reaped(&mut self, cx: &mut Context, _: u32, code: i32) {
        if let Some(name) = self.dead_process(Some(&Timespec::default())) {
            self.die(cx, ended(&name, code));
            self.flush(cx);
        }
    }

    fn disconnected(&mut self, cx: &mut Context, connection: u32) {
        let gone: Vec<u32> =
            self.streams.iter().filter(|(_, relay)| relay.key.0 == connection).map(|(number, _)| *number).collect();
        for stream in gone {
            self.streams.remove(&stream);
            self.send(Body::StreamClose(StreamClose { stream }));
        }
        self.pending.values_mut().for_each(|pending| pending.forget(connection));
        self.flush(cx);
    }

    fn timeout(&mut self, cx: &mut Context) {
        match self.phase {
            Phase::Greeting | Phase::SettingUp if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) => {
                self.die(cx, format!("the guest did not come up within {} s", BOOT.as_secs()));
            }
            Phase::Greeting => self.greet(cx),
            Phase::Stopping => self.stopped(cx),
            Phase::SettingUp => cx.wake = self.deadline,
            _ => {}
        }
        self.flush(cx);
    }
}
