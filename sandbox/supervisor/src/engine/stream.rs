//! A requester's stream: what it may be sent, and what waits for it.

use std::collections::VecDeque;

use cofferdam_pod_api::{Body, MAX_DATA, Receive, STDOUT, Send, StreamData};

use crate::serve::{Context, StreamKey};

/// Bytes that wait for a slow attach beyond its credit before it is cut off.
pub(super) const ATTACH_BACKLOG: usize = 1024 * 1024;

/// A requester's stream.
pub(super) struct Stream {
    key: StreamKey,
    /// The process.
    pub(super) process: u32,
    /// Standard input is connected.
    pub(super) stdin: bool,
    /// The exit code of the container that it was attached to.
    pub(super) ended: i32,
    /// Credit of the requester for standard input.
    pub(super) receive: Receive,
    channels: [Channel; 2],
}

struct Channel {
    open: bool,
    credit: Send,
    backlog: VecDeque<u8>,
}

impl Stream {
    /// A stream with the outputs that are wanted.
    pub(super) fn new(key: StreamKey, process: u32, stdin: bool, stdout: bool, stderr: bool) -> Self {
        let channel = |open| Channel { open, credit: Send::default(), backlog: VecDeque::new() };
        Stream {
            key,
            process,
            stdin,
            ended: 0,
            receive: Receive::default(),
            channels: [channel(stdout), channel(stderr)],
        }
    }

    fn channel(&mut self, channel: u32) -> Option<&mut Channel> {
        self.channels.get_mut(channel.checked_sub(STDOUT)? as usize)
    }

    /// Bytes that may be read for it now. What it does not want may be read, and goes nowhere.
    pub(super) fn room(&self, index: usize) -> usize {
        let channel = &self.channels[index];
        if channel.open { channel.credit.available() } else { usize::MAX }
    }

    /// Sends output as far as there is credit, and keeps the rest. `false`: it has fallen too far behind.
    #[must_use]
    pub(super) fn push(&mut self, cx: &mut Context, index: usize, bytes: &[u8]) -> bool {
        let key = self.key;
        let channel = &mut self.channels[index];
        if !channel.open {
            return true;
        }
        if channel.backlog.is_empty() {
            let now = channel.credit.available().min(bytes.len());
            channel.credit.sent(now);
            send(cx, key, index, &bytes[..now]);
            channel.backlog.extend(&bytes[now..]);
        } else {
            channel.backlog.extend(bytes);
        }
        channel.backlog.len() <= ATTACH_BACKLOG
    }

    /// The requester allows more. `None`: it broke the protocol.
    pub(super) fn granted(&mut self, cx: &mut Context, number: u32, bytes: u32) -> Option<()> {
        let key = self.key;
        let channel = self.channel(number)?;
        if !channel.credit.granted(bytes) {
            return None;
        }
        let now = channel.credit.available().min(channel.backlog.len());
        let rest = channel.backlog.split_off(now);
        let mut data = std::mem::replace(&mut channel.backlog, rest);
        channel.credit.sent(now);
        send(cx, key, (number - STDOUT) as usize, data.make_contiguous());
        Some(())
    }

    /// Nothing waits for credit.
    pub(super) fn is_flushed(&self) -> bool {
        self.channels.iter().all(|channel| channel.backlog.is_empty())
    }

    /// One output ended.
    pub(super) fn close(&mut self, cx: &mut Context, index: usize) {
        if std::mem::take(&mut self.channels[index].open) {
            let (connection, stream) = self.key;
            let channel = STDOUT + index as u32;
            cx.send(connection, Body::StreamData(StreamData { stream, channel, data: Vec::new(), eof: true }));
        }
    }
}

fn send(cx: &mut Context, (connection, stream): StreamKey, index: usize, bytes: &[u8]) {
    for data in bytes.chunks(MAX_DATA) {
        let data = StreamData { stream, channel: STDOUT + index as u32, data: data.to_vec(), eof: false };
        cx.send(connection, Body::StreamData(data));
    }
}
