//! Bytes to frames.

use bytes::{Buf, Bytes, BytesMut};

use super::compress::Inflate;
use super::error::DecodeError;
use super::frame::{FIN, Frame, UNIDIRECTIONAL, VERSION, kind};

/// Largest payload of a control frame, bytes. Only header blocks are long, and Kubernetes' are tiny.
const MAX_CONTROL: usize = 64 * 1024;
/// The high bit of an id is reserved.
const ID: u32 = 0x7fff_ffff;

/// Reads the frames of one direction of one connection.
pub struct Decoder {
    inflate: Inflate,
    /// What is still to come of a DATA frame: stream, fin, bytes.
    data: Option<(u32, bool, usize)>,
    /// Bytes still to pass over.
    skip: usize,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { inflate: Inflate::new(), data: None, skip: 0 }
    }
}

impl Decoder {
    /// Takes the next frame, or the next piece of a DATA frame, off `input`; `None`: more bytes are needed.
    ///
    /// # Errors
    /// See [`DecodeError`]; the decoder is of no more use then.
    pub fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Frame>, DecodeError> {
        loop {
            if self.skip > 0 {
                let passed = self.skip.min(input.len());
                input.advance(passed);
                self.skip -= passed;
                if self.skip > 0 {
                    return Ok(None);
                }
            }
            if self.data.is_some() {
                return Ok(self.piece(input));
            }
            let Some(head) = input.first_chunk::<8>() else { return Ok(None) };
            let mut head = &head[..];
            let (first, second) = (head.get_u32(), head.get_u32());
            let (flags, length) = ((second >> 24) as u8, (second & 0x00ff_ffff) as usize);
            if first & !ID == 0 {
                if first == 0 {
                    return Err(DecodeError::StreamZero);
                }
                input.advance(8);
                self.data = Some((first, flags & FIN != 0, length));
                continue;
            }
            let (version, kind) = ((first >> 16) as u16 & 0x7fff, first as u16);
            if version != VERSION {
                return Err(DecodeError::Version(version));
            }
            if length > MAX_CONTROL {
                return Err(DecodeError::Oversize(length));
            }
            if !known(kind) {
                // The protocol's rule for frames of later versions: pass over them.
                input.advance(8);
                self.skip = length;
                continue;
            }
            if input.len() < 8 + length {
                return Ok(None);
            }
            input.advance(8);
            let payload = input.split_to(length).freeze();
            return self.control(kind, flags, payload).map(Some);
        }
    }

    /// What has arrived of a DATA frame. One without any data comes whole.
    fn piece(&mut self, input: &mut BytesMut) -> Option<Frame> {
        let (id, fin, left) = self.data.take()?;
        if left > 0 && input.is_empty() {
            self.data = Some((id, fin, left));
            return None;
        }
        let data = input.split_to(left.min(input.len())).freeze();
        let left = left - data.len();
        if left > 0 {
            self.data = Some((id, fin, left));
        }
        Some(Frame::Data { id, fin: fin && left == 0, data })
    }

    fn control(&mut self, kind: u16, flags: u8, mut payload: Bytes) -> Result<Frame, DecodeError> {
        let length = payload.len();
        let wrong = DecodeError::Length { kind, length };
        let least = match kind {
            kind::SYN_STREAM => 10,
            kind::RST_STREAM | kind::GOAWAY | kind::WINDOW_UPDATE => 8,
            _ => 4,
        };
        if length < least {
            return Err(wrong);
        }
        let fin = flags & FIN != 0;
        // RST_STREAM.. have a fixed size; PING's and SETTINGS' first word is no id.
        let first = payload.get_u32();
        let id = first & ID;
        let frame = match kind {
            kind::SYN_STREAM => {
                payload.advance(6);
                let headers = self.inflate.block(&payload)?;
                Frame::SynStream { id: stream(id)?, fin, unidirectional: flags & UNIDIRECTIONAL != 0, headers }
            }
            kind::SYN_REPLY => Frame::SynReply { id: stream(id)?, fin, headers: self.inflate.block(&payload)? },
            kind::HEADERS => Frame::Headers { id: stream(id)?, fin, headers: self.inflate.block(&payload)? },
            kind::RST_STREAM if length == 8 => Frame::RstStream { id: stream(id)?, status: payload.get_u32() },
            kind::GOAWAY if length == 8 => Frame::GoAway { last: id, status: payload.get_u32() },
            kind::WINDOW_UPDATE if length == 8 => Frame::WindowUpdate { id, delta: payload.get_u32() & ID },
            kind::PING if length == 4 => Frame::Ping(first),
            kind::SETTINGS if first as usize == payload.len() / 8 && payload.len().is_multiple_of(8) => {
                Frame::Settings((0..first).map(|_| (payload.get_u32() & 0x00ff_ffff, payload.get_u32())).collect())
            }
            _ => return Err(wrong),
        };
        Ok(frame)
    }
}

fn known(kind: u16) -> bool {
    matches!(kind, kind::SYN_STREAM..=kind::SETTINGS | kind::PING..=kind::WINDOW_UPDATE)
}

fn stream(id: u32) -> Result<u32, DecodeError> {
    if id == 0 { Err(DecodeError::StreamZero) } else { Ok(id) }
}
