//! Why a stream or the session ends, as numbers of the protocol.

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
