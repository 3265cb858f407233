//! Frames, and the numbers that they have on the wire.

use bytes::Bytes;

use super::headers::Headers;

/// The protocol's version in control frames: 3.1 says 3.
pub(super) const VERSION: u16 = 3;
/// The sender is done with the stream, in control and in DATA frames.
pub(super) const FIN: u8 = 1;
/// The receiver may send nothing on the stream.
pub(super) const UNIDIRECTIONAL: u8 = 2;
/// Largest payload of a frame: its length has 24 bits.
pub(super) const MAX_PAYLOAD: usize = (1 << 24) - 1;

pub(super) mod kind {
    pub(crate) const SYN_STREAM: u16 = 1;
    pub(crate) const SYN_REPLY: u16 = 2;
    pub(crate) const RST_STREAM: u16 = 3;
    pub(crate) const SETTINGS: u16 = 4;
    pub(crate) const PING: u16 = 6;
    pub(crate) const GOAWAY: u16 = 7;
    pub(crate) const HEADERS: u16 = 8;
    pub(crate) const WINDOW_UPDATE: u16 = 9;
}

/// One frame. Fields that Kubernetes gives no meaning (priority, slot, associated stream) are written as 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// Opens a stream.
    SynStream {
        /// Odd from a client, growing.
        id: u32,
        /// The sender will send nothing on it.
        fin: bool,
        /// The receiver may send nothing on it.
        unidirectional: bool,
        /// What the stream is for.
        headers: Headers,
    },
    /// Accepts a stream.
    SynReply {
        /// The stream.
        id: u32,
        /// The sender will send nothing on it.
        fin: bool,
        /// Mostly empty.
        headers: Headers,
    },
    /// Ends a stream at once, in both directions.
    RstStream {
        /// The stream.
        id: u32,
        /// Why: see [`super::reset`].
        status: u32,
    },
    /// Settings as (id, value); flags are dropped.
    Settings(Vec<(u32, u32)>),
    /// To be sent back when the other end has chosen the number.
    Ping(u32),
    /// No more streams will be accepted.
    GoAway {
        /// The last stream that was.
        last: u32,
        /// Why: see [`super::goaway`].
        status: u32,
    },
    /// More headers of a stream.
    Headers {
        /// The stream.
        id: u32,
        /// The sender will send nothing more on it.
        fin: bool,
        /// The headers.
        headers: Headers,
    },
    /// The receiver of data takes so much more.
    WindowUpdate {
        /// The stream; 0: the session.
        id: u32,
        /// Bytes.
        delta: u32,
    },
    /// Data of a stream. The decoder gives a long frame in pieces, only the last of which has `fin`.
    Data {
        /// The stream.
        id: u32,
        /// The sender will send nothing more on it.
        fin: bool,
        /// The data, at most 2^24-1 bytes.
        data: Bytes,
    },
}

/// Id of the setting for the window that new streams begin with.
pub(super) const SETTING_INITIAL_WINDOW: u32 = 7;
