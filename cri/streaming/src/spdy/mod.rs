//! SPDY/3.1, as much of it as Kubernetes' streaming uses: streams that the client opens, over an upgraded connection.
//!
//! [`Decoder`] and [`Encoder`] turn bytes into [`Frame`]s and back, without I/O; the session drives them.
//! Source: the SPDY protocol, draft 3.1. What differs in real peers (moby/spdystream) is said where it matters:
//! they send no WINDOW_UPDATE, no pseudo headers, and DATA frames of any size.

mod compress;
mod decode;
mod dictionary;
mod frame;
mod inbound;
mod outbound;
mod session;
mod shared;
mod window;

pub use decode::{DecodeError, Decoder};
pub use frame::{Encoder, Frame, Headers};
pub(crate) use inbound::StreamRead;
pub(crate) use outbound::{StreamWrite, open_write};
pub(crate) use session::{Incoming, Session};

/// Status codes of RST_STREAM.
pub mod reset {
    /// The frame does not fit the stream's state.
    pub const PROTOCOL_ERROR: u32 = 1;
    /// A frame for a stream that does not exist.
    pub const INVALID_STREAM: u32 = 2;
    /// The stream was refused before anything was done.
    pub const REFUSED: u32 = 3;
    /// The stream is no longer wanted.
    pub const CANCEL: u32 = 5;
    /// The peer exceeded a window.
    pub const FLOW_CONTROL_ERROR: u32 = 7;
    /// Data after the end.
    pub const ALREADY_CLOSED: u32 = 9;
}

/// Status codes of GOAWAY.
pub mod goaway {
    /// Nothing is wrong.
    pub const OK: u32 = 0;
    /// The peer broke the protocol.
    pub const PROTOCOL_ERROR: u32 = 1;
}

/// Window of a stream and of the session before anything changes it, bytes (SPDY/3.1, 2.6.8).
pub(crate) const INITIAL_WINDOW: u32 = 64 * 1024;
