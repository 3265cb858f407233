//! Requests and their answers.

use prost::{Message, Oneof};

use crate::common::{Error, Exited};

/// Asks for one operation.
#[derive(Clone, PartialEq, Message)]
pub struct Request {
    /// Chosen by the requester; the response repeats it.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// Number of descriptors that come along.
    #[prost(uint32, tag = "2")]
    pub fds: u32,
    /// `None` only in a request of a later version.
    #[prost(oneof = "Op", tags = "3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18")]
    pub op: Option<Op>,
}

/// The operations.
#[derive(Clone, PartialEq, Oneof)]
pub enum Op {
    /// Sets a container up to just before execve.
    #[prost(message, tag = "3")]
    Create(Create),
    /// Lets a created container run.
    #[prost(message, tag = "4")]
    Start(Start),
    /// Sends a signal.
    #[prost(message, tag = "5")]
    Signal(Signal),
    /// Kills what is left of a container and forgets it.
    #[prost(message, tag = "6")]
    Delete(Delete),
    /// Applies limits in place.
    #[prost(message, tag = "7")]
    Update(Update),
    /// All containers.
    #[prost(message, tag = "8")]
    List(List),
    /// Resource use.
    #[prost(message, tag = "9")]
    Stats(GetStats),
    /// Continues a log in the file that comes along.
    #[prost(message, tag = "10")]
    ReopenLog(ReopenLog),
    /// Runs one more process.
    #[prost(message, tag = "11")]
    Exec(Exec),
    /// Connects to the streams of a container's first process.
    #[prost(message, tag = "12")]
    Attach(Attach),
    /// Connects to a TCP port on the pod's localhost.
    #[prost(message, tag = "13")]
    Dial(Dial),
    /// Sets the size of a stream's terminal.
    #[prost(message, tag = "14")]
    Resize(Resize),
    /// Kills the process group of an exec.
    #[prost(message, tag = "15")]
    KillStream(KillStream),
    /// Kills all containers, records their exits, takes the sandbox down and ends the server.
    #[prost(message, tag = "16")]
    Stop(Stop),
    /// Boots the VM of a VM sandbox; its descriptors come along. Daemon to shim only.
    #[prost(message, tag = "17")]
    Boot(Boot),
    /// Makes a guest ready for containers. Shim to agent only.
    #[prost(message, tag = "18")]
    Setup(Setup),
}

/// Answers a request.
#[derive(Clone, PartialEq, Message)]
pub struct Response {
    /// The request's.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// `None` only in a response of a later version.
    #[prost(oneof = "Outcome", tags = "2, 3, 4, 5, 6, 7, 8")]
    pub outcome: Option<Outcome>,
}

/// How an operation ended.
#[derive(Clone, PartialEq, Oneof)]
pub enum Outcome {
    /// It failed.
    #[prost(message, tag = "2")]
    Error(Error),
    /// It is done, and there is nothing to tell.
    #[prost(message, tag = "3")]
    Empty(Empty),
    /// What a server knows of a container.
    #[prost(message, tag = "4")]
    Status(Status),
    /// All containers.
    #[prost(message, tag = "5")]
    StatusList(StatusList),
    /// Limits in force.
    #[prost(message, tag = "6")]
    Resources(Resources),
    /// Resource use.
    #[prost(message, tag = "7")]
    StatsReply(StatsReply),
    /// The processes behind a VM.
    #[prost(message, tag = "8")]
    Booted(Booted),
}

/// Sets a container up to just before execve.
#[derive(Clone, PartialEq, Message)]
pub struct Create {
    /// JSON of a [`crate::ContainerSpec`].
    #[prost(bytes = "vec", tag = "1")]
    pub spec: Vec<u8>,
    /// A log descriptor comes along.
    #[prost(bool, tag = "2")]
    pub log: bool,
}

/// Lets a created container run.
#[derive(Clone, PartialEq, Message)]
pub struct Start {
    /// Container id.
    #[prost(string, tag = "1")]
    pub container: String,
}

/// Sends a signal.
#[derive(Clone, PartialEq, Message)]
pub struct Signal {
    /// Container id.
    #[prost(string, tag = "1")]
    pub container: String,
    /// Signal number.
    #[prost(int32, tag = "2")]
    pub signal: i32,
    /// To every process of the container.
    #[prost(bool, tag = "3")]
    pub all: bool,
}

/// Kills what is left of a container and forgets it.
#[derive(Clone, PartialEq, Message)]
pub struct Delete {
    /// Container id.
    #[prost(string, tag = "1")]
    pub container: String,
}

/// Applies limits in place.
#[derive(Clone, PartialEq, Message)]
pub struct Update {
    /// Container id.
    #[prost(string, tag = "1")]
    pub container: String,
    /// JSON of `LinuxResources`.
    #[prost(bytes = "vec", tag = "2")]
    pub resources: Vec<u8>,
}

/// All containers.
#[derive(Clone, PartialEq, Message)]
pub struct List {}

/// Resource use.
#[derive(Clone, PartialEq, Message)]
pub struct GetStats {
    /// Container id; empty: the whole pod.
    #[prost(string, tag = "1")]
    pub container: String,
}

/// Continues a log in the file that comes along.
#[derive(Clone, PartialEq, Message)]
pub struct ReopenLog {
    /// Container id.
    #[prost(string, tag = "1")]
    pub container: String,
}

/// Runs one more process.
#[derive(Clone, PartialEq, Message)]
pub struct Exec {
    /// JSON of an [`crate::ExecSpec`].
    #[prost(bytes = "vec", tag = "1")]
    pub spec: Vec<u8>,
    /// Number of the new stream.
    #[prost(uint32, tag = "2")]
    pub stream: u32,
    /// Standard output is wanted.
    #[prost(bool, tag = "3")]
    pub stdout: bool,
    /// Standard error is wanted.
    #[prost(bool, tag = "4")]
    pub stderr: bool,
}

/// Connects to the streams of a container's first process.
#[derive(Clone, PartialEq, Message)]
pub struct Attach {
    /// Container id.
    #[prost(string, tag = "1")]
    pub container: String,
    /// Number of the new stream.
    #[prost(uint32, tag = "2")]
    pub stream: u32,
    /// Standard input is wanted.
    #[prost(bool, tag = "3")]
    pub stdin: bool,
    /// Standard output is wanted.
    #[prost(bool, tag = "4")]
    pub stdout: bool,
    /// Standard error is wanted.
    #[prost(bool, tag = "5")]
    pub stderr: bool,
}

/// Connects to a TCP port on the pod's localhost.
#[derive(Clone, PartialEq, Message)]
pub struct Dial {
    /// TCP port.
    #[prost(uint32, tag = "1")]
    pub port: u32,
    /// Number of the new stream.
    #[prost(uint32, tag = "2")]
    pub stream: u32,
}

/// Sets the size of a stream's terminal.
#[derive(Clone, PartialEq, Message)]
pub struct Resize {
    /// The stream.
    #[prost(uint32, tag = "1")]
    pub stream: u32,
    /// Columns.
    #[prost(uint32, tag = "2")]
    pub columns: u32,
    /// Rows.
    #[prost(uint32, tag = "3")]
    pub rows: u32,
}

/// Kills the process group of an exec.
#[derive(Clone, PartialEq, Message)]
pub struct KillStream {
    /// The stream.
    #[prost(uint32, tag = "1")]
    pub stream: u32,
}

/// Kills all containers, records their exits, takes the sandbox down and ends the server.
#[derive(Clone, PartialEq, Message)]
pub struct Stop {}

/// Boots the VM of a VM sandbox; its descriptors come along. Daemon to shim only.
#[derive(Clone, PartialEq, Message)]
pub struct Boot {
    /// JSON of a [`crate::BootConfig`].
    #[prost(bytes = "vec", tag = "1")]
    pub config: Vec<u8>,
}

/// Makes a guest ready for containers. Shim to agent only.
#[derive(Clone, PartialEq, Message)]
pub struct Setup {
    /// JSON of a [`crate::GuestSetup`].
    #[prost(bytes = "vec", tag = "1")]
    pub config: Vec<u8>,
}

/// An answer without content.
#[derive(Clone, PartialEq, Message)]
pub struct Empty {}

/// What a server knows of a container.
#[derive(Clone, PartialEq, Message)]
pub struct Status {
    /// Container id.
    #[prost(string, tag = "1")]
    pub id: String,
    /// 0 created, 1 running, 2 exited.
    #[prost(uint32, tag = "2")]
    pub state: u32,
    /// PID of its first process; 0 once it has exited.
    #[prost(uint32, tag = "3")]
    pub pid: u32,
    /// Nanoseconds since the epoch; 0: not started.
    #[prost(int64, tag = "4")]
    pub started_at: i64,
    /// How it ended.
    #[prost(message, optional, tag = "5")]
    pub exit: Option<Exited>,
}

/// All containers.
#[derive(Clone, PartialEq, Message)]
pub struct StatusList {
    /// One each.
    #[prost(message, repeated, tag = "1")]
    pub containers: Vec<Status>,
}

/// Limits in force.
#[derive(Clone, PartialEq, Message)]
pub struct Resources {
    /// JSON of `LinuxResources`.
    #[prost(bytes = "vec", tag = "1")]
    pub resources: Vec<u8>,
}

/// Resource use.
#[derive(Clone, PartialEq, Message)]
pub struct StatsReply {
    /// JSON of [`crate::Stats`].
    #[prost(bytes = "vec", tag = "1")]
    pub stats: Vec<u8>,
}

/// The processes behind a VM.
#[derive(Clone, PartialEq, Message)]
pub struct Booted {
    /// JSON of [`crate::BootedProcesses`].
    #[prost(bytes = "vec", tag = "1")]
    pub processes: Vec<u8>,
}
