//! Input: from streams to pipes, terminals and ports.

use cofferdam_pod_api::{Body, MAX_DATA, PodError, STDIN, StreamCredit, StreamData};
use rustix::event::epoll::EventFlags;
use rustix::io::{Errno, write};
use rustix::net::{Shutdown, shutdown};

use super::process::{Chunk, Role};
use super::state::{Due, Engine};
use crate::serve::{Context, StreamKey, Token, kind};

impl Engine {
    /// Input from a requester.
    pub(super) fn input(&mut self, cx: &mut Context, key: StreamKey, data: StreamData) -> Result<(), PodError> {
        // A stream that has just ended may still be written to.
        let Some(stream) = self.streams.get_mut(&key) else { return Ok(()) };
        let broken = |what: &str| PodError::Protocol(format!("stream {}: {what}", key.1));
        if data.channel != STDIN || !stream.stdin {
            return Err(broken("data on a channel that takes none"));
        }
        if data.data.len() > MAX_DATA || !stream.receive.received(data.data.len()) {
            return Err(broken("more data than was allowed"));
        }
        let number = stream.process;
        let input = self.processes.get_mut(&number).and_then(|process| process.input.as_mut());
        match input {
            Some(input) => input.queue.push_back(Chunk { stream: key, data: data.data, written: 0 }),
            // Closed already (it has ended, or reads no more): what comes is consumed.
            None => self.consumed(cx, key, data.data.len()),
        }
        if data.eof {
            self.end_of_input(key);
        }
        self.write_input(cx, number);
        Ok(())
    }

    // Of an exec or a connection it is the end. A container's stdin stays open for the next attach, unless it is for
    // one only.
    fn end_of_input(&mut self, key: StreamKey) {
        let Some(stream) = self.streams.get_mut(&key) else { return };
        let Some(process) = self.processes.get_mut(&stream.process) else { return };
        let once = match &process.role {
            Role::Container(id) => self.containers.get(id).is_some_and(|container| container.stdin_once),
            _ => true,
        };
        if let Some(input) = process.input.as_mut().filter(|_| once) {
            input.closing = true;
        }
    }

    /// An attach with standard input ended, in whatever way.
    pub(super) fn input_left(&mut self, cx: &mut Context, key: StreamKey, number: u32) {
        self.end_of_input(key);
        self.write_input(cx, number);
    }

    /// Writes what waits, as far as the process takes it.
    pub(super) fn write_input(&mut self, cx: &mut Context, number: u32) {
        let Some(process) = self.processes.get_mut(&number) else { return };
        if let Role::Dial(Some(_)) = process.role {
            return;
        }
        let Some(input) = process.input.as_mut() else { return };
        let mut done: Vec<(StreamKey, usize)> = Vec::new();
        let mut broken = false;
        while let Some(chunk) = input.queue.front_mut() {
            let rest = &chunk.data[chunk.written..];
            if !rest.is_empty() {
                match write(&input.fd, rest) {
                    Ok(length) => {
                        chunk.written += length;
                        done.push((chunk.stream, length));
                        continue;
                    }
                    Err(Errno::INTR) => continue,
                    Err(Errno::AGAIN) => break,
                    // It reads no more.
                    Err(_) => {
                        broken = true;
                        break;
                    }
                }
            }
            input.queue.pop_front();
        }
        if broken {
            done.extend(input.queue.drain(..).map(|chunk| (chunk.stream, chunk.data.len() - chunk.written)));
        }
        let waiting = !input.queue.is_empty();
        if waiting != input.watched {
            if waiting {
                let _ = cx.reactor.add(&input.fd, Token::new(kind::INPUT, number), EventFlags::OUT);
            } else {
                cx.reactor.remove(&input.fd);
            }
            input.watched = waiting;
        }
        if broken || (input.closing && !waiting) {
            self.close_input(cx, number);
        }
        done.into_iter().for_each(|(key, length)| self.consumed(cx, key, length));
    }

    /// The process gets no more input.
    pub(super) fn close_input(&mut self, cx: &mut Context, number: u32) {
        let Some(process) = self.processes.get_mut(&number) else { return };
        // A terminal has no half that could be closed.
        if process.terminal.is_some() && process.code.is_none() {
            return;
        }
        let Some(input) = process.input.take() else { return };
        if input.watched {
            cx.reactor.remove(&input.fd);
        }
        if let Role::Dial(_) = process.role {
            let _ = shutdown(&input.fd, Shutdown::Write);
        }
        for chunk in input.queue {
            self.consumed(cx, chunk.stream, chunk.data.len() - chunk.written);
        }
        self.due.push_back(Due::Process(number));
    }

    fn consumed(&mut self, cx: &mut Context, key: StreamKey, bytes: usize) {
        let credit = self.streams.get_mut(&key).and_then(|stream| stream.receive.consumed(bytes));
        if let Some(bytes) = credit {
            let (connection, stream) = key;
            cx.send(connection, Body::StreamCredit(StreamCredit { stream, channel: STDIN, bytes }));
        }
    }
}
