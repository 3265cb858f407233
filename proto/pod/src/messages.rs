//! The frames.

use prost::{Message, Oneof};

use crate::common::Error;
use crate::ops::{Request, Response};

/// What is sent: one body.
#[derive(Clone, PartialEq, Message)]
pub struct Frame {
    /// `None` only in a frame of a later version.
    #[prost(oneof = "Body", tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12")]
    pub body: Option<Body>,
}

/// The kinds of frame.
#[derive(Clone, PartialEq, Oneof)]
pub enum Body {
    /// Requester's first frame.
    #[prost(message, tag = "1")]
    Hello(Hello),
    /// Its answer.
    #[prost(message, tag = "2")]
    HelloReply(HelloReply),
    /// Requester to server.
    #[prost(message, tag = "3")]
    Request(Request),
    /// Server to requester.
    #[prost(message, tag = "4")]
    Response(Response),
    /// Server to requester, unasked.
    #[prost(message, tag = "5")]
    Event(Event),
    /// Both ways.
    #[prost(message, tag = "6")]
    StreamData(StreamData),
    /// Both ways: the receiver of data allows more.
    #[prost(message, tag = "7")]
    StreamCredit(StreamCredit),
    /// Server to requester: the last frame of a stream.
    #[prost(message, tag = "8")]
    StreamExit(StreamExit),
    /// Requester to server: the requester wants no more of a stream.
    #[prost(message, tag = "9")]
    StreamClose(StreamClose),
    /// Agent to shim: output of a container.
    #[prost(message, tag = "10")]
    Log(Log),
    /// Shim to agent: everything up to this number is written.
    #[prost(message, tag = "11")]
    LogAck(LogAck),
    /// Agent to shim: a container ended.
    #[prost(message, tag = "12")]
    ExitReport(ExitReport),
}

/// Which of an agent's two ports carries a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    /// Requests, responses, events.
    Control,
    /// Streams, logs, exits.
    Data,
}

impl Body {
    /// The port that carries it; hellos go over both.
    pub fn port(&self) -> Port {
        match self {
            Body::Hello(_) | Body::HelloReply(_) | Body::Request(_) | Body::Response(_) | Body::Event(_) => {
                Port::Control
            }
            _ => Port::Data,
        }
    }
}

impl From<Body> for Frame {
    fn from(body: Body) -> Self {
        Frame { body: Some(body) }
    }
}

/// Opens a connection.
#[derive(Clone, PartialEq, Message)]
pub struct Hello {
    /// Oldest version that the requester speaks.
    #[prost(uint32, tag = "1")]
    pub oldest: u32,
    /// Newest version that the requester speaks.
    #[prost(uint32, tag = "2")]
    pub newest: u32,
    /// Random, new for each connect; tells this connection's answer from a stale one.
    #[prost(uint64, tag = "3")]
    pub epoch: u64,
}

/// Answers a hello.
#[derive(Clone, PartialEq, Message)]
pub struct HelloReply {
    /// The version spoken from now on; 0 with an error.
    #[prost(uint32, tag = "1")]
    pub version: u32,
    /// The hello's.
    #[prost(uint64, tag = "2")]
    pub epoch: u64,
    /// Why this server cannot serve (no common version, its set-up failed); it ends the connection then.
    #[prost(string, tag = "3")]
    pub error: String,
    /// What the server is, for messages (`cofferdam-shim 0.1.0`).
    #[prost(string, tag = "4")]
    pub server: String,
}

/// What a server announces.
#[derive(Clone, PartialEq, Message)]
pub struct Event {
    /// `None` only in an event of a later version, to be ignored.
    #[prost(oneof = "event::Kind", tags = "1, 2")]
    pub kind: Option<event::Kind>,
}

/// Kinds of [`Event`].
pub mod event {
    /// What an event tells.
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub enum Kind {
        /// A container ended; its record is durable.
        #[prost(message, tag = "1")]
        Exited(crate::common::Exited),
        /// The sandbox is dead; the last frame.
        #[prost(message, tag = "2")]
        Gone(super::Gone),
    }
}

/// Why a sandbox is dead.
#[derive(Clone, PartialEq, Message)]
pub struct Gone {
    /// For people.
    #[prost(string, tag = "1")]
    pub reason: String,
}

/// Bytes of a stream.
#[derive(Clone, PartialEq, Message)]
pub struct StreamData {
    /// The stream.
    #[prost(uint32, tag = "1")]
    pub stream: u32,
    /// See the channel constants of the crate.
    #[prost(uint32, tag = "2")]
    pub channel: u32,
    /// At most [`crate::MAX_DATA`] bytes.
    #[prost(bytes = "vec", tag = "3")]
    pub data: Vec<u8>,
    /// No more after these.
    #[prost(bool, tag = "4")]
    pub eof: bool,
}

/// Allows more bytes of a channel.
#[derive(Clone, PartialEq, Message)]
pub struct StreamCredit {
    /// The stream.
    #[prost(uint32, tag = "1")]
    pub stream: u32,
    /// The channel.
    #[prost(uint32, tag = "2")]
    pub channel: u32,
    /// Bytes.
    #[prost(uint32, tag = "3")]
    pub bytes: u32,
}

/// The end of a stream.
#[derive(Clone, PartialEq, Message)]
pub struct StreamExit {
    /// The stream.
    #[prost(uint32, tag = "1")]
    pub stream: u32,
    /// Exit code, without an error.
    #[prost(int32, tag = "2")]
    pub code: i32,
    /// What went wrong.
    #[prost(message, optional, tag = "3")]
    pub error: Option<Error>,
}

/// The requester has dropped a stream: an attach ends, a connection closes, an exec goes on with its output discarded.
#[derive(Clone, PartialEq, Message)]
pub struct StreamClose {
    /// The stream.
    #[prost(uint32, tag = "1")]
    pub stream: u32,
}

/// Output of a container in a guest.
#[derive(Clone, PartialEq, Message)]
pub struct Log {
    /// Counts up by one over the agent's logs and exits.
    #[prost(uint64, tag = "1")]
    pub sequence: u64,
    /// The container.
    #[prost(string, tag = "2")]
    pub container: String,
    /// Standard output or standard error.
    #[prost(uint32, tag = "3")]
    pub channel: u32,
    /// At most [`crate::MAX_DATA`] bytes.
    #[prost(bytes = "vec", tag = "4")]
    pub data: Vec<u8>,
    /// The stream ended: a partial line is complete.
    #[prost(bool, tag = "5")]
    pub eof: bool,
}

/// All logs and exits up to a number are written.
#[derive(Clone, PartialEq, Message)]
pub struct LogAck {
    /// The number.
    #[prost(uint64, tag = "1")]
    pub sequence: u64,
}

/// A container in a guest ended. The time is the shim's, not the guest's.
#[derive(Clone, PartialEq, Message)]
pub struct ExitReport {
    /// Shares its numbers with [`Log`].
    #[prost(uint64, tag = "1")]
    pub sequence: u64,
    /// The container.
    #[prost(string, tag = "2")]
    pub container: String,
    /// Exit code.
    #[prost(int32, tag = "3")]
    pub code: i32,
    /// The OOM killer was at work.
    #[prost(bool, tag = "4")]
    pub oom: bool,
}
