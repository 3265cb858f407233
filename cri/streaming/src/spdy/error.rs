//! What can be wrong with a peer's bytes.

/// Why a peer's bytes are no SPDY/3.1. The connection cannot go on: framing or compression is out of step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Another version of SPDY, or no SPDY at all.
    #[error("control frame of SPDY version {0}, not 3")]
    Version(u16),
    /// The frame is longer than any real one.
    #[error("control frame of {0} bytes, at most 65536 are taken")]
    Oversize(usize),
    /// The length does not fit the type.
    #[error("control frame of type {kind} with {length} bytes")]
    Length {
        /// The frame's type.
        kind: u16,
        /// Its payload's length, bytes.
        length: usize,
    },
    /// The header block cannot be read.
    #[error("header block: {0}")]
    Headers(&'static str),
    /// A frame that must name a stream names none.
    #[error("frame for stream 0")]
    StreamZero,
}
