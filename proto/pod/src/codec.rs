//! Frames on a byte stream: u32 little-endian length, then that many bytes of protobuf.

use prost::Message;

use crate::Frame;

/// Bytes that are no frame. The connection (or the guest behind it) is not to be trusted any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Longer than this connection allows.
    #[error("a frame of {length} bytes, {max} are allowed")]
    TooLong {
        /// As announced.
        length: usize,
        /// As allowed.
        max: usize,
    },
    /// Not protobuf of this protocol.
    #[error("a frame that cannot be decoded: {0}")]
    Malformed(String),
}

/// Appends a frame to a buffer.
pub fn encode(frame: &Frame, out: &mut Vec<u8>) {
    let length = frame.encoded_len();
    out.reserve(length + 4);
    out.extend_from_slice(&(length as u32).to_le_bytes());
    // A Vec grows as needed, so there is no case in which this fails.
    let _ = frame.encode(out);
}

/// Cuts a byte stream into frames. It never holds more than one frame of the allowed length and one read.
#[derive(Debug)]
pub struct Decoder {
    buffer: Vec<u8>,
    start: usize,
    max: usize,
}

impl Decoder {
    /// A decoder that allows frames of at most `max` bytes.
    pub fn new(max: usize) -> Self {
        Decoder { buffer: Vec::new(), start: 0, max }
    }

    /// Bytes that came.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame, or `None` until more bytes come. After an error the stream cannot be used further.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let rest = &self.buffer[self.start..];
        let Some(head) = rest.first_chunk::<4>() else {
            self.shrink();
            return Ok(None);
        };
        let length = u32::from_le_bytes(*head) as usize;
        if length > self.max {
            return Err(FrameError::TooLong { length, max: self.max });
        }
        let Some(body) = rest.get(4..4 + length) else { return Ok(None) };
        let frame = Frame::decode(body).map_err(|error| FrameError::Malformed(error.to_string()))?;
        self.start += 4 + length;
        Ok(Some(frame))
    }

    /// Drops everything up to and including `mark`. `false`: it has not come yet, and all but its possible beginning is
    /// dropped.
    pub fn skip_past(&mut self, mark: &[u8]) -> bool {
        let rest = &self.buffer[self.start..];
        if let Some(at) = rest.windows(mark.len()).position(|window| window == mark) {
            self.start += at + mark.len();
            return true;
        }
        self.start = self.buffer.len() - rest.len().min(mark.len() - 1);
        false
    }

    /// Forgets all that came: the peer has connected anew.
    pub fn reset(&mut self) {
        self.buffer.clear();
        self.start = 0;
    }

    // An idle connection should hold no memory worth speaking of.
    fn shrink(&mut self) {
        if self.start == self.buffer.len() {
            self.buffer.clear();
            self.start = 0;
            if self.buffer.capacity() > 4096 {
                self.buffer = Vec::new();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Body, LogAck};

    fn ack(sequence: u64) -> Frame {
        Body::LogAck(LogAck { sequence }).into()
    }

    #[test]
    fn frames_survive_any_cut_of_the_stream() {
        let mut bytes = Vec::new();
        (1..50).for_each(|n| encode(&ack(n), &mut bytes));
        for size in [1, 2, 3, 7, 64] {
            let mut decoder = Decoder::new(1024);
            let mut seen = Vec::new();
            for chunk in bytes.chunks(size) {
                decoder.push(chunk);
                while let Some(frame) = decoder.next_frame().unwrap() {
                    seen.push(frame);
                }
            }
            assert_eq!(seen, (1..50).map(ack).collect::<Vec<_>>(), "chunks of {size}");
        }
    }

    #[test]
    fn a_frame_over_the_limit_is_refused_before_it_is_stored() {
        let mut decoder = Decoder::new(100);
        decoder.push(&101u32.to_le_bytes());
        assert_eq!(decoder.next_frame(), Err(FrameError::TooLong { length: 101, max: 100 }));
    }

    #[test]
    fn bytes_that_are_no_message_are_an_error() {
        let mut decoder = Decoder::new(100);
        decoder.push(&[3, 0, 0, 0, 0xff, 0xff, 0xff]);
        assert!(matches!(decoder.next_frame(), Err(FrameError::Malformed(_))));
    }

    #[test]
    fn a_mark_is_found_across_pushes_behind_rubbish() {
        let mut decoder = Decoder::new(100);
        decoder.push(b"rubbish MA");
        assert!(!decoder.skip_past(b"MARK"));
        decoder.push(b"RK");
        assert!(decoder.skip_past(b"MARK"));
        let mut bytes = Vec::new();
        encode(&ack(7), &mut bytes);
        decoder.push(&bytes);
        assert_eq!(decoder.next_frame().unwrap(), Some(ack(7)));
    }
}
