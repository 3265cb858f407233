//! Frames to bytes.

use bytes::{BufMut, BytesMut};

use super::compress::Deflate;
use super::frame::{FIN, Frame, MAX_PAYLOAD, UNIDIRECTIONAL, VERSION, kind};
use super::headers::Headers;

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
