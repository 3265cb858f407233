//! A process (or a connection to a port) whose streams the engine carries.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::time::Instant;

use crate::serve::{Origin, StreamKey};

/// What a process is to the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Role {
    /// The first process of a container.
    Container(String),
    /// An exec.
    Exec,
    /// No process: a connection to a port. `Some` while it is being made.
    Dial(Option<Dialling>),
}

/// A connection that is being made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Dialling {
    /// Who is to be answered.
    pub(super) origin: Origin,
    pub(super) port: u16,
    /// Addresses that were tried; the last of them is being tried.
    pub(super) tried: usize,
    /// Why those before failed.
    pub(super) failures: Vec<String>,
    /// When it is given up.
    pub(super) until: Instant,
}

/// A process (or a connection to a port) whose streams the engine carries.
pub(super) struct Process {
    pub(super) role: Role,
    /// 0 for a connection.
    pub(super) pid: u32,
    pub(super) pidfd: Option<OwnedFd>,
    /// Standard output and standard error, until their end. A terminal has only the first.
    pub(super) output: [Option<Output>; 2],
    pub(super) input: Option<Input>,
    /// The terminal's master, for its size.
    pub(super) terminal: Option<OwnedFd>,
    /// How it ended, once it has.
    pub(super) code: Option<i32>,
    /// Streams connected to it; at most one for an exec or a connection.
    pub(super) streams: Vec<StreamKey>,
}

/// One output.
pub(super) struct Output {
    pub(super) fd: OwnedFd,
    /// Not watched now: nobody has room for what would be read.
    pub(super) paused: bool,
}

/// The input.
pub(super) struct Input {
    pub(super) fd: OwnedFd,
    /// Not yet written; the stream is told when it is.
    pub(super) queue: VecDeque<Chunk>,
    /// Close when the queue is empty.
    pub(super) closing: bool,
    /// Watched for room.
    pub(super) watched: bool,
}

/// A piece of input.
pub(super) struct Chunk {
    pub(super) stream: StreamKey,
    pub(super) data: Vec<u8>,
    pub(super) written: usize,
}

impl Output {
    pub(super) fn new(fd: OwnedFd) -> Self {
        // Watched by the first resume.
        Output { fd, paused: true }
    }
}

impl Input {
    pub(super) fn new(fd: OwnedFd) -> Self {
        Input { fd, queue: VecDeque::new(), closing: false, watched: false }
    }
}

impl Process {
    /// The connection that is being made, if it is one.
    pub(super) fn dialling(&self) -> Option<&Dialling> {
        match &self.role {
            Role::Dial(dialling) => dialling.as_ref(),
            Role::Container(_) | Role::Exec => None,
        }
    }

    /// All its output was read.
    pub(super) fn is_drained(&self) -> bool {
        self.output.iter().all(Option::is_none)
    }
}
