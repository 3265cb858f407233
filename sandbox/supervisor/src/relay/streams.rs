//! Streams between a daemon's connection and the guest: renumbered, and the guest held to its credit.

use std::collections::BTreeMap;

use cofferdam_pod_api::{
    Body, MAX_DATA, PodError, STDIN, STDOUT, Send, StreamClose, StreamCredit, StreamData, StreamExit, WINDOW,
};

use crate::serve::StreamKey;

/// All streams, by their numbers in the guest.
pub(super) struct RelayedStreams {
    streams: BTreeMap<u32, RelayedStream>,
    next: u32,
}

struct RelayedStream {
    /// The daemon's end.
    key: StreamKey,
    /// What the guest may still send on each output.
    allowed: [u32; 2],
    /// What the guest may still allow for standard input.
    input: Send,
}

/// A frame for a connection of the daemon.
pub(super) type ToDaemon = (u32, Body);

impl Default for RelayedStreams {
    fn default() -> Self {
        RelayedStreams { streams: BTreeMap::new(), next: 1 }
    }
}

impl RelayedStreams {
    /// A number in the guest for a new stream of the daemon.
    pub(super) fn open(&mut self, key: StreamKey) -> Result<u32, PodError> {
        if self.number(key).is_some() {
            return Err(PodError::Protocol(format!("stream {} is open already", key.1)));
        }
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        self.streams.insert(number, RelayedStream { key, allowed: [WINDOW; 2], input: Send::default() });
        Ok(number)
    }

    /// The number in the guest of a stream that is open.
    pub(super) fn number(&self, key: StreamKey) -> Option<u32> {
        self.streams.iter().find(|(_, stream)| stream.key == key).map(|(number, _)| *number)
    }

    fn of_daemon(&mut self, key: StreamKey) -> Option<(u32, &mut RelayedStream)> {
        self.streams.iter_mut().find(|(_, stream)| stream.key == key).map(|(number, stream)| (*number, stream))
    }

    /// A stream could not be opened.
    pub(super) fn remove(&mut self, number: u32) {
        self.streams.remove(&number);
    }

    /// A connection is over, and its streams with it: what the guest is told.
    pub(super) fn disconnected(&mut self, connection: u32) -> Vec<Body> {
        let of_it = |stream: &RelayedStream| stream.key.0 == connection;
        let gone: Vec<u32> =
            self.streams.iter().filter(|(_, stream)| of_it(stream)).map(|(number, _)| *number).collect();
        self.streams.retain(|_, stream| !of_it(stream));
        gone.into_iter().map(|stream| Body::StreamClose(StreamClose { stream })).collect()
    }

    /// A frame of the daemon, as the guest gets it. `None`: the stream was closed a moment ago.
    pub(super) fn relay(&mut self, connection: u32, body: Body) -> Result<Option<Body>, PodError> {
        Ok(match body {
            Body::StreamData(data) => self.of_daemon((connection, data.stream)).map(|(number, stream)| {
                stream.input.sent(data.data.len());
                Body::StreamData(StreamData { stream: number, ..data })
            }),
            Body::StreamCredit(credit) => self.of_daemon((connection, credit.stream)).map(|(number, stream)| {
                if let Some(allowed) = stream.allowed.get_mut(credit.channel.wrapping_sub(STDOUT) as usize) {
                    *allowed = allowed.saturating_add(credit.bytes);
                }
                Body::StreamCredit(StreamCredit { stream: number, ..credit })
            }),
            Body::StreamClose(close) => self.number((connection, close.stream)).map(|number| {
                self.streams.remove(&number);
                Body::StreamClose(StreamClose { stream: number })
            }),
            _ => return Err(PodError::Protocol("not a frame for a VM's shim".into())),
        })
    }

    /// Output from the guest. `None`: the stream was closed a moment ago.
    pub(super) fn data(&mut self, data: StreamData) -> Result<Option<ToDaemon>, String> {
        if data.data.len() > MAX_DATA {
            return Err("more data in a frame than is allowed".into());
        }
        let Some(relayed) = self.streams.get_mut(&data.stream) else { return Ok(None) };
        let allowed = relayed.allowed.get_mut(data.channel.wrapping_sub(STDOUT) as usize);
        let allowed = allowed.ok_or("data on a channel that a guest does not have")?;
        *allowed = allowed.checked_sub(data.data.len() as u32).ok_or("more data than its credit")?;
        let (connection, stream) = relayed.key;
        Ok(Some((connection, Body::StreamData(StreamData { stream, ..data }))))
    }

    /// Credit for standard input from the guest.
    pub(super) fn credit(&mut self, credit: StreamCredit) -> Result<Option<ToDaemon>, String> {
        let Some(relayed) = self.streams.get_mut(&credit.stream) else { return Ok(None) };
        if credit.channel != STDIN || !relayed.input.granted(credit.bytes) {
            return Err("credit that was never taken".into());
        }
        let (connection, stream) = relayed.key;
        Ok(Some((connection, Body::StreamCredit(StreamCredit { stream, ..credit }))))
    }

    /// The end of a stream.
    pub(super) fn exit(&mut self, exit: StreamExit) -> Option<ToDaemon> {
        let (connection, stream) = self.streams.remove(&exit.stream)?.key;
        Some((connection, Body::StreamExit(StreamExit { stream, ..exit })))
    }
}
