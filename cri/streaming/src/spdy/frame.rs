//! Frames, and how they are written.

use bytes::{BufMut, Bytes, BytesMut};

use super::compress::Deflate;

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

/// Names (lower case) and values of one header block, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(pub Vec<(String, String)>);

impl Headers {
    /// The first value of a name; several values of one name are one string with NUL between them.
    pub fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(n, _)| n.eq_ignore_ascii_case(name))?;
        value.split('\0').next()
    }
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

/// Writes the frames of one direction of one connection: the header compression has a state.
pub struct Encoder(Deflate);

impl Default for Encoder {
    fn default() -> Self {
        Self(Deflate::new())
    }
}

impl Encoder {
    /// Appends the frame's bytes.
    pub fn encode(&mut self, frame: &Frame, out: &mut BytesMut) {
        match frame {
            Frame::SynStream { id, fin, unidirectional, headers } => {
                let block = self.0.block(headers);
                let flags = flag(*fin, FIN) | flag(*unidirectional, UNIDIRECTIONAL);
                control(out, kind::SYN_STREAM, flags, 10 + block.len());
                out.put_u32(*id);
                out.put_bytes(0, 6);
                out.put_slice(&block);
            }
            Frame::SynReply { id, fin, headers } => self.headers(out, kind::SYN_REPLY, *id, *fin, headers),
            Frame::Headers { id, fin, headers } => self.headers(out, kind::HEADERS, *id, *fin, headers),
            Frame::RstStream { id, status } => pair(out, kind::RST_STREAM, *id, *status),
            Frame::GoAway { last, status } => pair(out, kind::GOAWAY, *last, *status),
            Frame::WindowUpdate { id, delta } => pair(out, kind::WINDOW_UPDATE, *id, *delta),
            Frame::Ping(number) => {
                control(out, kind::PING, 0, 4);
                out.put_u32(*number);
            }
            Frame::Settings(settings) => {
                control(out, kind::SETTINGS, 0, 4 + 8 * settings.len());
                out.put_u32(settings.len() as u32);
                settings.iter().for_each(|(id, value)| {
                    out.put_u32(id & 0x00ff_ffff);
                    out.put_u32(*value);
                });
            }
            Frame::Data { id, fin, data } => {
                debug_assert!(data.len() <= MAX_PAYLOAD);
                out.put_u32(*id);
                out.put_u32(u32::from(flag(*fin, FIN)) << 24 | data.len() as u32);
                out.put_slice(data);
            }
        }
    }

    fn headers(&mut self, out: &mut BytesMut, kind: u16, id: u32, fin: bool, headers: &Headers) {
        let block = self.0.block(headers);
        control(out, kind, flag(fin, FIN), 4 + block.len());
        out.put_u32(id);
        out.put_slice(&block);
    }
}

fn flag(set: bool, bit: u8) -> u8 {
    if set { bit } else { 0 }
}

fn control(out: &mut BytesMut, kind: u16, flags: u8, length: usize) {
    debug_assert!(length <= MAX_PAYLOAD);
    out.put_u16(0x8000 | VERSION);
    out.put_u16(kind);
    out.put_u32(u32::from(flags) << 24 | length as u32);
}

fn pair(out: &mut BytesMut, kind: u16, first: u32, second: u32) {
    control(out, kind, 0, 8);
    out.put_u32(first);
    out.put_u32(second);
}
