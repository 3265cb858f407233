//! Output: from pipes and terminals to logs and streams.

use cofferdam_pod_api::{MAX_DATA, PodError, STDOUT};
use rustix::event::epoll::EventFlags;
use rustix::io::{Errno, read};

use super::process::Role;
use super::state::{Due, Engine};
use crate::serve::{Context, StreamKey, Token, kind};

/// Reads of one output before others have their turn.
const TURN: usize = 4;

/// Most that is read of a container that has ended: the largest pipe. What holds the pipe open beyond it is not its
/// process.
const LAST: usize = 1024 * 1024;

enum Read {
    Bytes(usize),
    Empty,
    End,
    /// Nobody has room.
    Pause,
}

impl Engine {
    /// An output is ready.
    pub(super) fn pump_output(&mut self, cx: &mut Context, number: u32, index: usize) {
        let ended = self.processes.get(&number).is_some_and(|process| process.code.is_some());
        let turns = if ended { LAST / MAX_DATA } else { TURN };
        for _ in 0..turns {
            match self.read_output(cx, number, index) {
                Read::Bytes(_) => {}
                Read::Pause => return self.pause(cx, number, index),
                Read::Empty if !ended => return,
                Read::Empty | Read::End => return self.output_ended(cx, number, index),
            }
        }
        if ended {
            self.output_ended(cx, number, index);
        }
    }

    fn read_output(&mut self, cx: &mut Context, number: u32, index: usize) -> Read {
        let room = self.room(number, index);
        if room == 0 {
            return Read::Pause;
        }
        let Some(output) = self.processes.get(&number).and_then(|process| process.output[index].as_ref()) else {
            return Read::Empty;
        };
        let mut buffer = std::mem::take(&mut cx.buffer);
        let room = room.min(buffer.len());
        let read = match read(&output.fd, &mut buffer[..room]) {
            Ok(0) => Read::End,
            Ok(length) => Read::Bytes(length),
            Err(Errno::AGAIN) => Read::Empty,
            Err(Errno::INTR) => Read::Bytes(0),
            // EIO: the last process has closed the terminal.
            Err(_) => Read::End,
        };
        if let Read::Bytes(length) = read {
            self.deliver(cx, number, index, &buffer[..length]);
        }
        cx.buffer = buffer;
        read
    }

    // A container is read as fast as its log takes it; an exec or a connection as fast as its requester does.
    fn room(&self, number: u32, index: usize) -> usize {
        let Some(process) = self.processes.get(&number) else { return 0 };
        match process.role {
            Role::Container(_) if process.code.is_some() || self.sink.has_room() => usize::MAX,
            Role::Container(_) => 0,
            _ => process
                .streams
                .first()
                .and_then(|key| self.streams.get(key))
                .map_or(usize::MAX, |stream| stream.room(index)),
        }
    }

    fn deliver(&mut self, cx: &mut Context, number: u32, index: usize, bytes: &[u8]) {
        let Some(process) = self.processes.get(&number) else { return };
        if let Role::Container(id) = &process.role {
            self.sink.write(cx, id, STDOUT + index as u32, bytes);
        }
        let mut slow: Vec<StreamKey> = Vec::new();
        for key in &process.streams {
            if let Some(stream) = self.streams.get_mut(key)
                && !stream.push(cx, index, bytes)
            {
                slow.push(*key);
            }
        }
        for key in slow {
            cx.stream_exit(
                key,
                Err(PodError::Failed("the attach was cut off: it reads slower than the container writes".into())),
            );
            if let Some(process) = self.processes.get_mut(&number) {
                process.streams.retain(|other| *other != key);
            }
            self.due.push_back(Due::Stream(key));
        }
    }

    fn output_ended(&mut self, cx: &mut Context, number: u32, index: usize) {
        let Some(process) = self.processes.get_mut(&number) else { return };
        if let Some(output) = process.output[index].take()
            && !output.paused
        {
            cx.reactor.remove(&output.fd);
        }
        match &process.role {
            Role::Container(id) => self.sink.finish(cx, id, STDOUT + index as u32),
            _ => {
                for key in &process.streams {
                    if let Some(stream) = self.streams.get_mut(key) {
                        stream.close(cx, index);
                    }
                }
            }
        }
        self.due.push_back(Due::Process(number));
    }

    // A paused output is not watched at all: its hang-up would be reported again and again.
    fn pause(&mut self, cx: &mut Context, number: u32, index: usize) {
        if let Some(output) = self.processes.get_mut(&number).and_then(|process| process.output[index].as_mut())
            && !output.paused
        {
            cx.reactor.remove(&output.fd);
            output.paused = true;
        }
    }

    /// There may be room again.
    pub(super) fn resume_output(&mut self, cx: &mut Context, number: u32) {
        for index in 0..2 {
            let room = self.room(number, index) > 0;
            let Some(process) = self.processes.get_mut(&number) else { return };
            let ended = process.code.is_some();
            let Some(output) = process.output[index].as_mut().filter(|output| output.paused && room) else { continue };
            let token = Token::new(kind::OUTPUT, number << 2 | index as u32);
            if cx.reactor.add(&output.fd, token, EventFlags::IN).is_err() {
                self.output_ended(cx, number, index);
                continue;
            }
            output.paused = false;
            if ended {
                self.pump_output(cx, number, index);
            }
        }
    }

    /// The shim has written logs: containers that waited for it go on.
    pub(super) fn resume_containers(&mut self, cx: &mut Context) {
        if !self.sink.has_room() {
            return;
        }
        let waiting: Vec<u32> = self
            .processes
            .iter()
            .filter(|(_, process)| process.output.iter().flatten().any(|output| output.paused))
            .map(|(number, _)| *number)
            .collect();
        waiting.into_iter().for_each(|number| self.resume_output(cx, number));
    }
}
