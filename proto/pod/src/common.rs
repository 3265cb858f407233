//! What answers, events and streams have in common: ends and errors.

use prost::Message;

/// How a container ended.
#[derive(Clone, PartialEq, Message)]
pub struct Exited {
    /// Container id.
    #[prost(string, tag = "1")]
    pub container: String,
    /// Exit code.
    #[prost(int32, tag = "2")]
    pub code: i32,
    /// The OOM killer was at work.
    #[prost(bool, tag = "3")]
    pub oom: bool,
    /// Nanoseconds since the epoch.
    #[prost(int64, tag = "4")]
    pub at: i64,
}

/// Why an operation failed.
#[derive(Clone, PartialEq, Message)]
pub struct Error {
    /// See [`ErrorKind`].
    #[prost(enumeration = "ErrorKind", tag = "1")]
    pub kind: i32,
    /// For people.
    #[prost(string, tag = "2")]
    pub message: String,
}

/// The kinds of failure, as [`crate::PodError`] has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum ErrorKind {
    /// Failed while doing it.
    Failed = 0,
    /// The sandbox is dead.
    Gone = 1,
    /// No such container, exec or stream.
    NotFound = 2,
    /// Not in this state.
    State = 3,
    /// The request is wrong.
    Invalid = 4,
    /// The protocol does not allow it.
    Protocol = 5,
}
