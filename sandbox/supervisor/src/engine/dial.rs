//! Connections to the pod's localhost: IPv4 first, then IPv6, for a server may listen on either alone.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use cofferdam_pod_api::{Dial, Empty, Outcome, PodError};
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::connect;
use rustix::net::sockopt::socket_error;

use super::process::{Dialling, Input, Output, Process, Role};
use super::state::Engine;
use super::stream::Stream;
use crate::serve::{Context, Origin, Token, kind};

const ADDRESSES: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// How long a connection may take: a server whose backlog is full lets packets drop. Shorter than the patience of who
/// asks, so that it is no sign of a hung guest.
const LIMIT: Duration = Duration::from_secs(10);

/// A socket, and whether it is connected already.
type Begun = (OwnedFd, bool);

impl Engine {
    /// Connects to the pod's localhost. `None`: answered later.
    pub(super) fn dial(&mut self, cx: &mut Context, origin: Origin, dial: &Dial) -> Result<Option<Outcome>, PodError> {
        let key = (origin.connection, dial.stream);
        self.new_stream(key)?;
        let port = u16::try_from(dial.port).map_err(|_| PodError::Invalid(format!("port {}", dial.port)))?;
        let mut dialling = Dialling { origin, port, tried: 0, failures: Vec::new(), until: Instant::now() + LIMIT };
        let Some((socket, connected)) = self.begin(&mut dialling) else { return Err(failure(&dialling)) };
        let failed = |error: Errno| PodError::Failed(format!("port {port}: {error}"));
        let output = rustix::io::fcntl_dupfd_cloexec(&socket, 3).map_err(failed)?;
        let number = self.number();
        let mut input = Input::new(socket);
        if !connected {
            cx.reactor.add(&input.fd, Token::new(kind::INPUT, number), EventFlags::OUT).map_err(failed)?;
            input.watched = true;
            wake(cx, dialling.until);
        }
        let process = Process {
            role: Role::Dial((!connected).then_some(dialling)),
            pid: 0,
            pidfd: None,
            output: [Some(Output::new(output)), None],
            input: Some(input),
            terminal: None,
            code: None,
            streams: Vec::new(),
        };
        self.processes.insert(number, process);
        self.connect_stream(key, Stream::new(key, number, true, true, false));
        if connected {
            self.resume_output(cx, number);
        }
        Ok(connected.then_some(Outcome::Empty(Empty {})))
    }

    /// A socket to the next address that does not refuse at once.
    fn begin(&mut self, dialling: &mut Dialling) -> Option<Begun> {
        while let Some(address) = ADDRESSES.get(dialling.tried) {
            dialling.tried += 1;
            match self.dial_to(&SocketAddr::new(*address, dialling.port)) {
                Ok(begun) => return Some(begun),
                Err(error) => dialling.failures.push(error),
            }
        }
        None
    }

    fn dial_to(&mut self, address: &SocketAddr) -> Result<Begun, String> {
        let named = |error: &dyn std::fmt::Display| format!("{address}: {error}");
        let socket = self.pod().and_then(|pod| pod.socket(address)).map_err(|error| named(&error))?;
        match connect(&socket, address) {
            Ok(()) => Ok((socket, true)),
            Err(Errno::INPROGRESS) => Ok((socket, false)),
            Err(error) => Err(named(&error)),
        }
    }

    /// A connection was made, or not.
    pub(super) fn dialled(&mut self, cx: &mut Context, number: u32) {
        let Some(process) = self.processes.get_mut(&number) else { return };
        let (Role::Dial(role), Some(input)) = (&mut process.role, process.input.as_mut()) else { return };
        let Some(mut dialling) = role.take() else { return };
        cx.reactor.remove(&input.fd);
        input.watched = false;
        match socket_error(&input.fd) {
            Ok(Ok(())) => self.connected(cx, number, dialling.origin),
            Ok(Err(error)) | Err(error) => {
                let address = ADDRESSES[dialling.tried - 1];
                dialling.failures.push(format!("{}: {error}", SocketAddr::new(address, dialling.port)));
                self.dial_next(cx, number, dialling);
            }
        }
    }

    fn dial_next(&mut self, cx: &mut Context, number: u32, mut dialling: Dialling) {
        let Some((socket, connected)) = self.begin(&mut dialling) else {
            return self.undialled(cx, number, &dialling);
        };
        let Some(process) = self.processes.get_mut(&number) else { return };
        let watched = || -> Result<OwnedFd, Errno> {
            if !connected {
                cx.reactor.add(&socket, Token::new(kind::INPUT, number), EventFlags::OUT)?;
            }
            rustix::io::fcntl_dupfd_cloexec(&socket, 3)
        };
        match (watched(), process.input.as_mut()) {
            (Ok(output), Some(input)) => {
                process.output[0] = Some(Output::new(output));
                // What came to be sent meanwhile stays in the queue.
                (input.fd, input.watched) = (socket, !connected);
                let origin = dialling.origin;
                process.role = Role::Dial((!connected).then_some(dialling));
                if connected {
                    self.connected(cx, number, origin);
                }
            }
            (Err(error), _) => {
                dialling.failures.push(error.to_string());
                self.undialled(cx, number, &dialling);
            }
            (_, None) => self.undialled(cx, number, &dialling),
        }
    }

    fn connected(&mut self, cx: &mut Context, number: u32, origin: Origin) {
        cx.answer(origin, Ok(Outcome::Empty(Empty {})));
        self.resume_output(cx, number);
        self.write_input(cx, number);
    }

    fn undialled(&mut self, cx: &mut Context, number: u32, dialling: &Dialling) {
        if let Some(process) = self.processes.remove(&number) {
            process.streams.iter().for_each(|key| drop(self.streams.remove(key)));
        }
        cx.answer(dialling.origin, Err(failure(dialling)));
    }

    /// Connections that take too long are given up.
    pub(super) fn dials_over(&mut self, cx: &mut Context, now: Instant) {
        let over = |process: &Process| process.dialling().is_some_and(|dialling| dialling.until <= now);
        let late: Vec<u32> = self.processes.iter().filter(|(_, p)| over(p)).map(|(number, _)| *number).collect();
        for number in late {
            let role = self.processes.get_mut(&number).map(|process| &mut process.role);
            if let Some(Role::Dial(role)) = role
                && let Some(mut dialling) = role.take()
            {
                dialling.failures.push(format!("no answer within {LIMIT:?}"));
                self.undialled(cx, number, &dialling);
            }
        }
        if let Some(next) = self.processes.values().filter_map(Process::dialling).map(|dialling| dialling.until).min() {
            wake(cx, next);
        }
    }
}

fn failure(dialling: &Dialling) -> PodError {
    PodError::Failed(format!("connect to the pod's localhost: {}", dialling.failures.join(", ")))
}

fn wake(cx: &mut Context, at: Instant) {
    cx.wake = Some(cx.wake.map_or(at, |wake| wake.min(at)));
}
