//! The two ports of a guest, from outside.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use cofferdam_pod_api::{Body, MAX_GUEST_CONTROL, MAX_GUEST_DATA, Port, opening};
use cofferdam_sandbox::PodError;
use rustix::event::epoll::EventFlags;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use super::{Phase, RemoteBackend};
use crate::serve::{Context, Fault, Origin, PortIo, PortKind, Token, kind};

/// First pause between two hellos; a guest that is not up yet may have lost the first. Doubles up to the last.
const GREETING: Duration = Duration::from_millis(250);
const GREETING_MOST: Duration = Duration::from_secs(2);

/// Bytes that may wait for a guest that does not read, before it is given up.
const MOST_QUEUED: usize = 8 * 1024 * 1024;

/// See the module.
pub(super) struct GuestLink {
    pub(super) ports: [PortIo; 2],
    pub(super) greeted: [bool; 2],
    /// The hello whose answer counts: the last one sent.
    pub(super) epoch: u64,
    pause: Duration,
}

impl RemoteBackend {
    /// Starts the VM. Answered when its agent is set up.
    pub(super) fn boot(
        &mut self,
        cx: &mut Context,
        origin: Origin,
        config: &[u8],
        fds: Vec<OwnedFd>,
    ) -> Result<(), PodError> {
        if self.phase != Phase::Off {
            return Err(PodError::State("the VM was booted already".into()));
        }
        let booted = self.machine.boot(config, fds)?;
        let failed = |error: rustix::io::Errno| PodError::Failed(format!("ports of the VM: {error}"));
        let port = |fd: OwnedFd, number, max| {
            fcntl_setfl(&fd, fcntl_getfl(&fd)? | OFlags::NONBLOCK)?;
            PortIo::new(&cx.reactor, fd, Token::new(kind::GUEST, number), PortKind::Socket, max)
        };
        let control = port(booted.control, 0, MAX_GUEST_CONTROL).map_err(failed)?;
        let data = port(booted.data, 1, MAX_GUEST_DATA).map_err(failed)?;
        for (index, (name, pidfd)) in booted.watched.iter().enumerate() {
            let token = Token::new(kind::WATCHED, index as u32);
            let added = cx.reactor.add(pidfd, token, EventFlags::IN | EventFlags::ONESHOT);
            added.map_err(|error| PodError::Failed(format!("watching {name}: {error}")))?;
        }
        self.watched = booted.watched;
        self.guest =
            Some(GuestLink { ports: [control, data], greeted: [false; 2], epoch: first_epoch(), pause: GREETING });
        self.boot = Some((origin, booted.processes));
        self.setup = booted.setup;
        self.phase = Phase::Greeting;
        self.deadline = Some(Instant::now() + super::BOOT);
        self.greet(cx);
        Ok(())
    }

    /// Says hello, again and again until the answer to the last one comes: bytes are lost while nobody listens.
    pub(super) fn greet(&mut self, cx: &mut Context) {
        let Some(guest) = &mut self.guest else { return };
        guest.epoch += 1;
        guest.greeted = [false; 2];
        // The answer comes behind a magic of its own, also on a port that has answered an earlier hello.
        guest.ports.iter_mut().for_each(PortIo::desync);
        for port in guest.ports.iter_mut().filter(|port| port.is_flushed()) {
            port.queue(&opening(guest.epoch));
        }
        cx.wake = Some(Instant::now() + guest.pause);
        guest.pause = (guest.pause * 2).min(GREETING_MOST);
    }

    /// Queues a frame for the agent.
    pub(super) fn send(&mut self, body: Body) {
        if let Some(guest) = &mut self.guest {
            let port = if body.port() == Port::Data { 1 } else { 0 };
            guest.ports[port].queue_frame(&body.into());
        }
    }

    /// Writes what is queued.
    pub(super) fn flush(&mut self, cx: &mut Context) {
        let Some(guest) = &mut self.guest else { return };
        let mut fault = None;
        for port in &mut guest.ports {
            if let Err(error) = port.flush(&cx.reactor) {
                fault = Some(error);
            }
            if port.queued() > MOST_QUEUED {
                fault = Some(Fault::Closed("the guest does not read".into()));
            }
        }
        if let Some(fault) = fault {
            self.broken(cx, &fault);
        }
    }
}

// Epochs only have to differ between the shims that one guest meets.
fn first_epoch() -> u64 {
    let mut bytes = [0; 8];
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::NONBLOCK);
    u64::from_ne_bytes(bytes) >> 1
}
