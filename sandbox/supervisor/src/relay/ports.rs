//! The two ports of a guest, seen from outside.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use cofferdam_pod_api::{Body, MAX_GUEST_CONTROL, MAX_GUEST_DATA, Port, opening};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;

use crate::serve::{Context, Fault, PortIo, PortKind, Token, kind};

/// First pause between two hellos; a guest that is not up yet may have lost the first. Doubles up to the last.
const GREETING: Duration = Duration::from_millis(250);
const GREETING_MOST: Duration = Duration::from_secs(2);

/// Bytes that may wait for a guest that does not read, before it is given up.
const MOST_QUEUED: usize = 8 * 1024 * 1024;

/// The two ports of a guest, seen from outside.
pub(super) struct GuestPorts {
    pub(super) ports: [PortIo; 2],
    pub(super) greeted: [bool; 2],
    /// The hello whose answer counts: the last one sent.
    pub(super) epoch: u64,
    pause: Duration,
}

impl GuestPorts {
    /// Over the connected sockets of the control and of the data port.
    pub(super) fn new(cx: &Context, control: OwnedFd, data: OwnedFd) -> Result<Self, Errno> {
        let port = |fd: OwnedFd, number, max| {
            fcntl_setfl(&fd, fcntl_getfl(&fd)? | OFlags::NONBLOCK)?;
            PortIo::new(&cx.reactor, fd, Token::new(kind::GUEST, number), PortKind::Socket, max)
        };
        let ports = [port(control, 0, MAX_GUEST_CONTROL)?, port(data, 1, MAX_GUEST_DATA)?];
        Ok(GuestPorts { ports, greeted: [false; 2], epoch: first_epoch(), pause: GREETING })
    }

    /// Says hello, again and again until the answer to the last one comes: bytes are lost while nobody listens. Answers
    /// when to do it the next time.
    pub(super) fn greet(&mut self) -> Instant {
        self.epoch += 1;
        self.greeted = [false; 2];
        // The answer comes behind a magic of its own, also on a port that has answered an earlier hello.
        self.ports.iter_mut().for_each(PortIo::desync);
        for port in self.ports.iter_mut().filter(|port| port.is_flushed()) {
            port.queue(&opening(self.epoch));
        }
        let next = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(GREETING_MOST);
        next
    }

    /// Queues a frame on the port that carries it.
    pub(super) fn queue(&mut self, body: Body) {
        let port = if body.port() == Port::Data { 1 } else { 0 };
        self.ports[port].queue_frame(&body.into());
    }

    /// Writes what is queued.
    pub(super) fn flush(&mut self, cx: &Context) -> Result<(), Fault> {
        let mut flushed = Ok(());
        for port in &mut self.ports {
            if let Err(fault) = port.flush(&cx.reactor) {
                flushed = Err(fault);
            }
            if port.queued() > MOST_QUEUED {
                flushed = Err(Fault::Closed("the guest does not read".into()));
            }
        }
        flushed
    }
}

// Epochs only have to differ between the shims that one guest meets.
fn first_epoch() -> u64 {
    let mut bytes = [0; 8];
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::NONBLOCK);
    u64::from_ne_bytes(bytes) >> 1
}
