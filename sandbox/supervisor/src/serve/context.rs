//! What a backend acts through.

use std::collections::BTreeMap;
use std::time::Instant;

use cofferdam_pod_api::{Body, Error, Event, Outcome, PodError, Response, StreamExit, error_to, event};

use super::connection::Connection;
use super::end::End;
use super::reactor::Reactor;

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
