//! How a process, and a stream to it, come to be known.

use std::os::fd::OwnedFd;

use cofferdam_container::{Launched, LaunchedStreams};
use rustix::event::epoll::EventFlags;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use super::process::{Input, Output, Process, Role};
use super::state::Engine;
use super::stream::Stream;
use crate::serve::{Context, StreamKey, Token, kind};

impl Engine {
    /// Takes a new process in, and watches it.
    pub(super) fn adopt(&mut self, cx: &mut Context, role: Role, launched: Launched) -> u32 {
        let number = self.number();
        let (output, input, terminal) = ends(launched.streams);
        for fd in output.iter().flatten().map(|output| &output.fd).chain(input.iter().map(|input| &input.fd)) {
            if let Ok(flags) = fcntl_getfl(fd) {
                let _ = fcntl_setfl(fd, flags | OFlags::NONBLOCK);
            }
        }
        let token = Token::new(kind::PROCESS, number);
        if let Err(error) = cx.reactor.add(&launched.pidfd, token, EventFlags::IN | EventFlags::ONESHOT) {
            eprintln!("watching process {}: {error}", launched.pid);
        }
        let process = Process {
            role,
            pid: launched.pid,
            pidfd: Some(launched.pidfd),
            output,
            input,
            terminal,
            code: None,
            streams: Vec::new(),
        };
        self.processes.insert(number, process);
        number
    }

    /// Connects a new stream to its process.
    pub(super) fn connect_stream(&mut self, key: StreamKey, stream: Stream) {
        if let Some(process) = self.processes.get_mut(&stream.process) {
            process.streams.push(key);
            self.streams.insert(key, stream);
        }
    }
}

type Ends = ([Option<Output>; 2], Option<Input>, Option<OwnedFd>);

fn ends(streams: LaunchedStreams) -> Ends {
    match streams {
        LaunchedStreams::Pipes { stdin, stdout, stderr } => {
            ([stdout.map(Output::new), stderr.map(Output::new)], stdin.map(Input::new), None)
        }
        // A duplicate for each direction, since each is watched for itself.
        LaunchedStreams::Terminal(master) => {
            let output = rustix::io::fcntl_dupfd_cloexec(&master, 3).ok().map(Output::new);
            let input = rustix::io::fcntl_dupfd_cloexec(&master, 3).ok().map(Input::new);
            ([output, None], input, Some(master))
        }
    }
}
