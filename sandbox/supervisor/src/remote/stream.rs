//! Streams between a daemon's connection and the guest: renumbered, and the guest held to its credit.

use cofferdam_pod_api::{Body, MAX_DATA, STDIN, STDOUT, Send, StreamCredit, StreamData, StreamExit, WINDOW};
use cofferdam_sandbox::PodError;

use super::RemoteBackend;
use crate::serve::{Context, StreamKey};

/// One stream.
pub(super) struct Relay {
    /// The daemon's end.
    pub(super) key: StreamKey,
    /// What the guest may still send on each output.
    allowed: [u32; 2],
    /// What the guest may still allow for standard input.
    input: Send,
}

impl Relay {
    pub(super) fn new(key: StreamKey) -> Self {
        Relay { key, allowed: [WINDOW; 2], input: Send::default() }
    }
}

impl RemoteBackend {
    /// A frame of the daemon.
    pub(super) fn relay_to_guest(&mut self, connection: u32, body: Body) -> Result<(), PodError> {
        match body {
            Body::StreamData(data) => {
                let Some((number, relay)) = self.relay_of((connection, data.stream)) else { return Ok(()) };
                relay.input.sent(data.data.len());
                self.send(Body::StreamData(StreamData { stream: number, ..data }));
            }
            Body::StreamCredit(credit) => {
                let Some((number, relay)) = self.relay_of((connection, credit.stream)) else { return Ok(()) };
                if let Some(allowed) = relay.allowed.get_mut(credit.channel.wrapping_sub(STDOUT) as usize) {
                    *allowed = allowed.saturating_add(credit.bytes);
                }
                self.send(Body::StreamCredit(StreamCredit { stream: number, ..credit }));
            }
            Body::StreamClose(close) => {
                let Some((number, _)) = self.relay_of((connection, close.stream)) else { return Ok(()) };
                self.streams.remove(&number);
                self.send(Body::StreamClose(cofferdam_pod_api::StreamClose { stream: number }));
            }
            _ => return Err(PodError::Protocol("not a frame for a VM's shim".into())),
        }
        Ok(())
    }

    /// Output from the guest. A stream that is not known was closed a moment ago.
    pub(super) fn relay_data(&mut self, cx: &mut Context, data: StreamData) -> Result<(), String> {
        if data.data.len() > MAX_DATA {
            return Err("more data in a frame than is allowed".into());
        }
        let Some(relay) = self.streams.get_mut(&data.stream) else { return Ok(()) };
        let allowed = relay.allowed.get_mut(data.channel.wrapping_sub(STDOUT) as usize);
        let allowed = allowed.ok_or("data on a channel that a guest does not have")?;
        *allowed = allowed.checked_sub(data.data.len() as u32).ok_or("more data than its credit")?;
        let (connection, stream) = relay.key;
        cx.send(connection, Body::StreamData(StreamData { stream, ..data }));
        Ok(())
    }

    /// Credit for standard input from the guest.
    pub(super) fn relay_credit(&mut self, cx: &mut Context, credit: StreamCredit) -> Result<(), String> {
        let Some(relay) = self.streams.get_mut(&credit.stream) else { return Ok(()) };
        if credit.channel != STDIN || !relay.input.granted(credit.bytes) {
            return Err("credit that was never taken".into());
        }
        let (connection, stream) = relay.key;
        cx.send(connection, Body::StreamCredit(StreamCredit { stream, ..credit }));
        Ok(())
    }

    /// The end of a stream.
    pub(super) fn relay_exit(&mut self, cx: &mut Context, exit: StreamExit) {
        if let Some(relay) = self.streams.remove(&exit.stream) {
            let (connection, stream) = relay.key;
            let error = exit.error.map(super::guest::bounded);
            cx.send(connection, Body::StreamExit(StreamExit { stream, error, ..exit }));
        }
    }
}
