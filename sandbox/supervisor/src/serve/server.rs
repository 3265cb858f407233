//! The event loop.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use cofferdam_pod_api::{Body, MAX_FRAME, PodError};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::Timespec;
use rustix::event::epoll::EventFlags;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with, sockopt};
use rustix::process::{WaitOptions, wait};

use super::backend::Backend;
use super::connection::Connection;
use super::context::{Context, Origin};
use super::end::End;
use super::port::{Fault, PortIo, PortKind};
use super::reactor::{Reactor, Ready, Token, kind};

/// How long the loop lingers at its end so that requesters get their last frames.
const LINGER: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// Most requesters at a time: the daemon, and the one that replaces it.
const MAX_CONNECTIONS: usize = 8;

struct Server<'a, B> {
    cx: Context,
    backend: &'a mut B,
    listener: Option<OwnedFd>,
    signals: SignalFd,
    next: u32,
    broken: Option<&'a str>,
}

/// Serves requesters that connect to a listening unix socket. Ends only as [`End`] says.
pub(crate) fn serve_on_socket<B: Backend>(listener: OwnedFd, backend: &mut B, broken: Option<&str>) -> End {
    let mut server = match Server::new(backend, broken) {
        Ok(server) => server,
        Err(error) => return End::Failed(format!("event loop: {error}")),
    };
    if let Err(error) = nonblocking(&listener)
        .and_then(|()| server.cx.reactor.add(&listener, Token::new(kind::LISTENER, 0), EventFlags::IN))
    {
        return End::Failed(format!("listening socket: {error}"));
    }
    server.listener = Some(listener);
    server.run()
}

/// Serves one requester over two ports that may connect anew at any time.
pub(crate) fn serve_on_ports<B: Backend>(control: OwnedFd, data: OwnedFd, kinds: PortKind, backend: &mut B) -> End {
    let add = |server: &mut Server<'_, B>| -> Result<(), Errno> {
        nonblocking(&control)?;
        nonblocking(&data)?;
        let token = |port| Token::new(kind::CONNECTION, port);
        let ports = vec![
            PortIo::new(&server.cx.reactor, control, token(0), kinds, MAX_FRAME)?,
            PortIo::new(&server.cx.reactor, data, token(1), kinds, MAX_FRAME)?,
        ];
        server.cx.connections.insert(0, Connection::new(ports));
        server.next = 1;
        Ok(())
    };
    match Server::new(backend, None) {
        Ok(mut server) => match add(&mut server) {
            Ok(()) => server.run(),
            Err(error) => End::Failed(format!("ports: {error}")),
        },
        Err(error) => End::Failed(format!("event loop: {error}")),
    }
}

fn nonblocking(fd: impl AsFd) -> Result<(), Errno> {
    let flags = fcntl_getfl(&fd)?;
    fcntl_setfl(&fd, flags | OFlags::NONBLOCK)
}

impl<'a, B: Backend> Server<'a, B> {
    fn new(backend: &'a mut B, broken: Option<&'a str>) -> Result<Self, Errno> {
        let reactor = Reactor::new()?;
        let mut child = SigSet::empty();
        child.add(Signal::SIGCHLD);
        let raw = |error: nix::Error| Errno::from_raw_os_error(error as i32);
        child.thread_block().map_err(raw)?;
        let signals = SignalFd::with_flags(&child, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).map_err(raw)?;
        reactor.add(&signals, Token::new(kind::SIGNAL, 0), EventFlags::IN)?;
        let cx =
            Context { reactor, connections: Default::default(), buffer: vec![0; 32 * 1024], wake: None, end: None };
        Ok(Server { cx, backend, listener: None, signals, next: 0, broken })
    }

    fn run(mut self) -> End {
        // A child may have ended before its signal was blocked.
        self.reap();
        while self.cx.end.is_none() {
            let timeout = self.cx.wake.map(|wake| wake.saturating_duration_since(Instant::now()));
            let timeout =
                timeout.map(|left| Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) });
            match self.cx.reactor.wait(timeout.as_ref()) {
                Ok(events) => events.into_iter().for_each(|(token, ready)| self.dispatch(token, ready)),
                Err(error) => self.cx.end = Some(End::Failed(format!("epoll: {error}"))),
            }
            if self.cx.wake.take_if(|wake| *wake <= Instant::now()).is_some() {
                self.backend.timeout(&mut self.cx);
            }
            self.flush();
        }
        self.linger();
        self.cx.end.unwrap_or(End::Stopped)
    }

    fn dispatch(&mut self, token: Token, ready: Ready) {
        match token.kind {
            kind::SIGNAL => {
                while let Ok(Some(_)) = self.signals.read_signal() {}
                self.reap();
            }
            kind::LISTENER => self.accept(),
            kind::CONNECTION => self.connection_ready(token.id >> 1, (token.id & 1) as usize, ready),
            _ => self.backend.ready(&mut self.cx, token, ready),
        }
    }

    // Also what is nobody's: an orphan of a pod in the host's PID namespace falls to this process.
    fn reap(&mut self) {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            let code = status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal));
            if let Some(code) = code {
                self.backend.reaped(&mut self.cx, pid.as_raw_nonzero().get() as u32, code);
            }
        }
    }

    fn accept(&mut self) {
        let Some(listener) = &self.listener else { return };
        while let Ok(socket) = accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
            // The path's mode says so already; this holds even if somebody widens it.
            let allowed = sockopt::socket_peercred(&socket).is_ok_and(|peer| peer.uid.is_root());
            if !allowed || self.cx.connections.len() >= MAX_CONNECTIONS {
                continue;
            }
            let id = self.next & (u32::MAX >> 1);
            self.next = self.next.wrapping_add(1);
            let token = Token::new(kind::CONNECTION, id << 1);
            if let Ok(port) = PortIo::new(&self.cx.reactor, socket, token, PortKind::Socket, MAX_FRAME) {
                self.cx.connections.insert(id, Connection::new(vec![port]));
            }
        }
    }

    fn connection_ready(&mut self, id: u32, port: usize, ready: Ready) {
        if let Some(connection) = self.cx.connections.get_mut(&id) {
            connection.dirty |= ready.write;
        }
        // What follows nonsense on a port may already be the next hello; a socket's connection is over.
        while ready.read && self.cx.connections.contains_key(&id) {
            match self.read(id, port) {
                Ok(()) => return,
                Err(fault) => self.fault(id, port, &fault),
            }
        }
    }

    fn read(&mut self, id: u32, port: usize) -> Result<(), Fault> {
        loop {
            while let Some(frame) = self.next_frame(id, port)? {
                self.handle(id, port, frame).map_err(|error| Fault::Closed(error.to_string()))?;
            }
            let mut buffer = std::mem::take(&mut self.cx.buffer);
            let read = match self.cx.connections.get_mut(&id) {
                Some(connection) => connection.ports[port].read(&mut buffer),
                None => Ok(false),
            };
            self.cx.buffer = buffer;
            if !read? {
                return Ok(());
            }
        }
    }

    fn next_frame(&mut self, id: u32, port: usize) -> Result<Option<Body>, Fault> {
        loop {
            let Some(connection) = self.cx.connections.get_mut(&id) else { return Ok(None) };
            match connection.ports[port].next_frame()? {
                Some(frame) if frame.body.is_none() => continue,
                Some(frame) => return Ok(frame.body),
                None => return Ok(None),
            }
        }
    }

    fn handle(&mut self, id: u32, port: usize, body: Body) -> Result<(), PodError> {
        let protocol = |what: &str| Err(PodError::Protocol(what.into()));
        let Some(connection) = self.cx.connections.get_mut(&id) else { return Ok(()) };
        match body {
            Body::Hello(hello) if !connection.is_greeted(port) => {
                if !connection.greet(port, &hello, self.broken) && self.broken.is_some() {
                    self.cx.end = Some(End::Failed(self.broken.unwrap_or_default().to_owned()));
                }
                Ok(())
            }
            _ if !connection.is_greeted(port) => protocol("the first frame was no hello"),
            Body::Request(request) => {
                let count = request.fds as usize;
                if count > connection.ports[port].fds.len() {
                    return protocol("descriptors are missing");
                }
                let fds = connection.ports[port].fds.drain(..count).collect();
                let origin = Origin { connection: id, request: request.id };
                match request.op {
                    Some(op) => self.backend.request(&mut self.cx, origin, op, fds),
                    None => self.cx.answer(origin, Err(PodError::Protocol("an operation of a later version".into()))),
                }
                Ok(())
            }
            Body::StreamData(_) | Body::StreamCredit(_) | Body::StreamClose(_) | Body::LogAck(_) => {
                self.backend.frame(&mut self.cx, id, body)
            }
            _ => protocol("a frame that no requester sends"),
        }
    }

    // On a socket the connection ends. A pair of ports stays, and waits for the next hello.
    fn fault(&mut self, id: u32, port: usize, fault: &Fault) {
        self.backend.disconnected(&mut self.cx, id);
        if self.listener.is_some() {
            self.cx.connections.remove(&id);
        } else if let Some(connection) = self.cx.connections.get_mut(&id) {
            eprintln!("the link is broken, waiting for a new hello: {fault:?}");
            match fault {
                Fault::Nonsense(_) => connection.desync(port),
                Fault::Closed(_) => connection.reset(),
            }
        }
    }

    fn flush(&mut self) {
        let mut faults = Vec::new();
        for (id, connection) in self.cx.connections.iter_mut().filter(|(_, connection)| connection.dirty) {
            connection.dirty = false;
            for (number, port) in connection.ports.iter_mut().enumerate() {
                if let Err(fault) = port.flush(&self.cx.reactor) {
                    faults.push((*id, number, fault));
                }
            }
        }
        faults.into_iter().for_each(|(id, port, fault)| self.fault(id, port, &fault));
    }

    fn linger(&mut self) {
        for _ in 0..100 {
            self.flush();
            if self.cx.connections.values().all(|connection| connection.ports.iter().all(PortIo::is_flushed)) {
                return;
            }
            match self.cx.reactor.wait(Some(&LINGER)) {
                Ok(events) if !events.is_empty() => {
                    self.cx.connections.values_mut().for_each(|connection| connection.dirty = true);
                }
                _ => return,
            }
        }
    }
}
