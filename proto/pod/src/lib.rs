//! The pod protocol between daemon, shim and agent: messages, framing, flow control, and every format that crosses from
//! one of these processes to another. No I/O, no runtime.
//!
//! | what | from | to | form |
//! |---|---|---|---|
//! | [`ShimConfig`] | daemon | shim, at its start | JSON in a descriptor |
//! | [`Frame`] | each | each | see below |
//! | [`BootConfig`], [`BootedProcesses`] | daemon | shim of a VM, and back | inside [`Boot`] and [`Booted`] |
//! | [`GuestSetup`] | daemon, through the shim | agent | inside [`Setup`] |
//! | [`ContainerSpec`], [`ExecSpec`] | daemon | who runs the container | inside [`Create`] and [`Exec`] |
//! | [`Records`] | shim | daemon, also after the shim's death | slots of a file |
//!
//! One connection carries everything of a pod, multiplexed. The *requester* (daemon towards shim, shim towards agent)
//! sends [`Request`]s, numbers them, and opens streams by numbers of its own; the *server* answers with [`Response`]s
//! in any order and announces [`Event`]s.
//!
//! * Between daemon and shim the connection is one unix stream socket; file descriptors (logs, a tap) come by
//!   SCM_RIGHTS with the first byte of the request that counts them.
//! * Between shim and agent it is two byte ports: *control* (requests, responses, events) and *data* (streams, logs,
//!   exits). [`Body::port`] says which frame goes where. Neither port keeps bytes while nobody listens, so each connect
//!   starts with [`MAGIC`] and a [`Hello`] with a fresh epoch, and what comes before them is dropped.
//!
//! Changes are additive; [`VERSIONS`] is negotiated in the hello.

mod boot;
mod clock;
mod codec;
mod common;
mod container;
mod content;
mod credit;
mod environment;
mod error;
mod exits;
mod guest;
mod hello;
mod messages;
mod namespaces;
mod ops;
mod patience;
mod shim;
mod state;
mod status;

pub use boot::{BOOT_CONSOLE, BOOT_MESSAGES, BOOT_TAP, BootConfig, BootedProcesses};
pub use codec::{Decoder, FrameError, encode};
pub use common::{Error, ErrorKind, Exited};
pub use container::{ContainerRootfs, ContainerSpec, ExecSpec, Stdio};
pub use credit::{Receive, Send, WINDOW};
pub use environment::{pack_variable, unpack_variable};
pub use error::{PodError, error_from, error_to};
pub use exits::{
    EXITS_FILE, Records, SLOT, SlotContent, decode_slot, encode_exit, encode_gone, encode_reserved, read_slots,
};
pub use guest::{CONTROL_PORT, DATA_PORT, GUEST_CGROUP, GuestLink, GuestSetup, MIN_SEED, SHARE_DIR, SHARE_TAG};
pub use hello::{MAGIC, Negotiation, VERSIONS, answer, opening, sync_after_magic};
pub use messages::{
    Body, Event, ExitReport, Frame, Gone, Hello, HelloReply, Log, LogAck, Port, StreamClose, StreamCredit, StreamData,
    StreamExit, event,
};
pub use namespaces::{IdMap, NamespaceMode, PodNamespaces, UserNamespace};
pub use ops::{
    Attach, Boot, Booted, Create, Delete, Dial, Empty, Exec, GetStats, KillStream, List, Op, Outcome, ReopenLog,
    Request, Resize, Resources, Response, Setup, Signal, Start, StatsReply, Status, StatusList, Stop, Update,
};
pub use patience::Patience;
pub use shim::{ShimConfig, ShimKind, ShimNamespaces};
pub use state::{ContainerExit, ContainerState, ContainerStatus, Stats};
pub use status::{status_from, status_to};

/// Largest data of one [`StreamData`] or [`Log`] frame, bytes.
pub const MAX_DATA: usize = 32 * 1024;

/// Largest frame that a trusted peer may send, bytes: a container spec with its seccomp program fits many times.
pub const MAX_FRAME: usize = 4 * 1024 * 1024;

/// Largest frame that a guest may send on its control port, bytes.
pub const MAX_GUEST_CONTROL: usize = 256 * 1024;

/// Largest frame that a guest may send on its data port, bytes: the data and its envelope.
pub const MAX_GUEST_DATA: usize = MAX_DATA + 1024;

/// Largest number of file descriptors with one request.
pub const MAX_FDS: usize = 8;

/// Channel of a stream that goes to the process or port.
pub const STDIN: u32 = 0;
/// Channel of a stream that comes from the process or port.
pub const STDOUT: u32 = 1;
/// Channel of a stream that comes from the process.
pub const STDERR: u32 = 2;
