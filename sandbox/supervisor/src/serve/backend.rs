//! What a backend is, and what it is given.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::time::Instant;

use cofferdam_pod_api::{Body, Error, Event, Op, Outcome, Response, StreamExit, error_to, event};
use cofferdam_sandbox::PodError;

use super::conn::Connection;
use super::reactor::{Reactor, Ready, Token};
use super::server::End;

/// Who asked: a connection, and the number of its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The connection.
    pub(crate) connection: u32,
    /// The request.
    pub(crate) request: u64,
}

/// A stream: the connection it belongs to, and its number there.
pub(crate) type StreamKey = (u32, u32);

/// Does what requesters ask. Answers are given through the context, at once or later.
pub(crate) trait Backend {
    /// One operation.
    fn request(&mut self, cx: &mut Context, origin: Origin, op: Op, fds: Vec<OwnedFd>);

    /// A frame of a stream or of the log. An error ends the connection: the peer broke the protocol.
    fn frame(&mut self, cx: &mut Context, connection: u32, body: Body) -> Result<(), PodError>;

    /// A descriptor of the backend's own is ready.
    fn ready(&mut self, cx: &mut Context, token: Token, ready: Ready);

    /// A child of this process ended.
    fn reaped(&mut self, cx: &mut Context, pid: u32, code: i32);

    /// A connection is over, and its streams with it.
    fn disconnected(&mut self, cx: &mut Context, connection: u32);

    /// The time that was asked for by `Context::wake` has come.
    fn timeout(&mut self, _cx: &mut Context) {}
}

/// What backends act through.
pub(crate) struct Context {
    /// The epoll.
    pub(crate) reactor: Reactor,
    pub(crate) connections: BTreeMap<u32, Connection>,
    /// One buffer for all reads.
    pub(crate) buffer: Vec<u8>,
    /// When the backend's `timeout` is to be called.
    pub(crate) wake: Option<Instant>,
    /// Set when the loop is to end.
    pub(crate) end: Option<End>,
}

impl Context {
    /// Sends a frame, if the connection still is there.
    pub(crate) fn send(&mut self, connection: u32, body: Body) {
        if let Some(connection) = self.connections.get_mut(&connection) {
            connection.queue(body);
        }
    }

    /// Answers a request.
    pub(crate) fn answer(&mut self, origin: Origin, result: Result<Outcome, PodError>) {
        let outcome = result.unwrap_or_else(|error| Outcome::Error(error_to(&error)));
        self.send(origin.connection, Body::Response(Response { id: origin.request, outcome: Some(outcome) }));
    }

    /// Announces something to every connection.
    pub(crate) fn announce(&mut self, kind: event::Kind) {
        for connection in self.connections.values_mut().filter(|connection| connection.is_ready()) {
            connection.queue(Body::Event(Event { kind: Some(kind.clone()) }));
        }
    }

    /// The last frame of a stream.
    pub(crate) fn stream_exit(&mut self, (connection, stream): StreamKey, result: Result<i32, PodError>) {
        let (code, error): (i32, Option<Error>) = match result {
            Ok(code) => (code, None),
            Err(error) => (-1, Some(error_to(&error))),
        };
        self.send(connection, Body::StreamExit(StreamExit { stream, code, error }));
    }
}
