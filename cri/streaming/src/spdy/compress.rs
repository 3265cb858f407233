//! Header blocks: one zlib stream a direction, for the whole life of a connection, flushed after each block.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::dictionary::dictionary;
use super::error::DecodeError;
use super::headers::Headers;

/// Most that one block may inflate to, bytes; real ones have less than 200. Bounds a zip bomb.
pub(super) const MAX_INFLATED: usize = 64 * 1024;
/// Most headers of one block.
const MAX_HEADERS: usize = 128;

/// Compresses the blocks of one direction.
pub(super) struct Deflate(Compress);

impl Deflate {
    pub(super) fn new() -> Self {
        let mut zlib = Compress::new(Compression::best(), true);
        // Fails only after data has gone in.
        if let Err(error) = zlib.set_dictionary(&dictionary()) {
            tracing::error!(%error, "SPDY header dictionary refused by zlib");
        }
        Self(zlib)
    }

    pub(super) fn block(&mut self, headers: &Headers) -> Vec<u8> {
        let plain = plain(headers);
        let mut packed = Vec::with_capacity(plain.len() + 64);
        let start = self.0.total_in();
        loop {
            let taken = (self.0.total_in() - start) as usize;
            let before = packed.len();
            // A sync flush never fails; it is complete when there was room left over.
            let _ = self.0.compress_vec(&plain[taken..], &mut packed, FlushCompress::Sync);
            let all_in = (self.0.total_in() - start) as usize == plain.len();
            if all_in && (packed.len() < packed.capacity() || packed.len() == before) {
                return packed;
            }
            packed.reserve(256);
        }
    }
}

fn plain(headers: &Headers) -> Vec<u8> {
    let mut out = (headers.0.len() as u32).to_be_bytes().to_vec();
    for text in headers.0.iter().flat_map(|(name, value)| [name, value]) {
        out.extend_from_slice(&(text.len() as u32).to_be_bytes());
        out.extend_from_slice(text.as_bytes());
    }
    out
}

/// Decompresses the blocks of one direction. After an error it is of no more use: the connection has to end.
pub(super) struct Inflate(Decompress);

impl Inflate {
    pub(super) fn new() -> Self {
        Self(Decompress::new(true))
    }

    pub(super) fn block(&mut self, packed: &[u8]) -> Result<Headers, DecodeError> {
        let mut plain = Vec::with_capacity(1024);
        let start = self.0.total_in();
        loop {
            let taken = (self.0.total_in() - start) as usize;
            let before = (taken, plain.len());
            match self.0.decompress_vec(&packed[taken..], &mut plain, FlushDecompress::Sync) {
                Ok(Status::StreamEnd) => return Err(DecodeError::Headers("the compressed stream ends")),
                Ok(_) => {}
                Err(error) if error.needs_dictionary().is_some() => {
                    self.0
                        .set_dictionary(&dictionary())
                        .map_err(|_| DecodeError::Headers("not SPDY/3's dictionary"))?;
                    continue;
                }
                Err(_) => return Err(DecodeError::Headers("not a zlib stream")),
            }
            if plain.len() > MAX_INFLATED {
                return Err(DecodeError::Headers("larger than 64 KiB"));
            }
            let after = ((self.0.total_in() - start) as usize, plain.len());
            if after.0 == packed.len() && plain.len() < plain.capacity() {
                return parse(&plain);
            }
            if after == before && plain.len() < plain.capacity() {
                return Err(DecodeError::Headers("the compressed stream is stuck"));
            }
            plain.reserve(4096);
        }
    }
}

fn parse(plain: &[u8]) -> Result<Headers, DecodeError> {
    let mut rest = plain;
    let count = length(&mut rest)?;
    if count > MAX_HEADERS {
        return Err(DecodeError::Headers("more than 128 headers"));
    }
    let mut headers = Vec::with_capacity(count);
    for _ in 0..count {
        headers.push((text(&mut rest)?, text(&mut rest)?));
    }
    if !rest.is_empty() {
        return Err(DecodeError::Headers("bytes after the last header"));
    }
    Ok(Headers(headers))
}

fn length(rest: &mut &[u8]) -> Result<usize, DecodeError> {
    let (number, tail) = rest.split_first_chunk::<4>().ok_or(DecodeError::Headers("cut short"))?;
    *rest = tail;
    Ok(u32::from_be_bytes(*number) as usize)
}

fn text(rest: &mut &[u8]) -> Result<String, DecodeError> {
    let length = length(rest)?;
    let (text, tail) = rest.split_at_checked(length).ok_or(DecodeError::Headers("cut short"))?;
    *rest = tail;
    String::from_utf8(text.to_vec()).map_err(|_| DecodeError::Headers("not UTF-8"))
}
