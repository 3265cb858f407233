//! Inflating on a thread of its own, while the other one hashes and writes.

use std::io::{self, Chain, Cursor, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};

use super::report::{Limits, Refusal, RefusalKind};

const BLOCK: usize = 256 << 10;
/// Blocks between the two threads.
const AHEAD: usize = 8;

type Block = Result<Vec<u8>, Refusal>;

/// The uncompressed tar, hashed as it is read.
pub(crate) struct Decoder {
    blocks: Receiver<Block>,
    block: Vec<u8>,
    at: usize,
    hash: Sha256,
    refusal: Option<Refusal>,
}

impl Decoder {
    /// Reads gzip, zstd or a plain tar, whichever it is.
    pub fn start(input: impl Read + Send + 'static, limits: &Limits) -> Self {
        let (send, blocks) = sync_channel(AHEAD);
        let limits = *limits;
        std::thread::spawn(move || {
            if let Err(refusal) = inflate(input, &limits, &send) {
                let _ = send.send(Err(refusal));
            }
        });
        Decoder { blocks, block: Vec::new(), at: 0, hash: Sha256::new(), refusal: None }
    }

    /// Why reading has failed, if the compressed stream is the reason.
    pub fn refusal(&mut self) -> Option<Refusal> {
        self.refusal.take()
    }

    /// The hash of all that was read.
    pub fn hash(&self) -> Sha256 {
        self.hash.clone()
    }
}

impl Read for Decoder {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.at == self.block.len() {
            match self.blocks.recv() {
                Ok(Ok(block)) => (self.block, self.at) = (block, 0),
                Ok(Err(refusal)) => {
                    let error = io::Error::other(refusal.text.clone());
                    self.refusal = Some(refusal);
                    return Err(error);
                }
                Err(_) => return Ok(0),
            }
            self.hash.update(&self.block);
        }
        let n = out.len().min(self.block.len() - self.at);
        out[..n].copy_from_slice(&self.block[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

fn inflate(input: impl Read + 'static, limits: &Limits, out: &SyncSender<Block>) -> Result<(), Refusal> {
    let refuse = |kind, text: String| Refusal { kind, text };
    let mut tar = open(input).map_err(|e| refuse(RefusalKind::Invalid, format!("layer: {e}")))?;
    let mut total = 0;
    loop {
        let mut block = Vec::with_capacity(BLOCK);
        let more = (&mut tar).take(BLOCK as u64).read_to_end(&mut block);
        let n = more.map_err(|e| refuse(RefusalKind::Invalid, format!("layer: compressed data: {e}")))?;
        if n == 0 {
            return Ok(());
        }
        total += n as u64;
        if total > limits.bytes {
            return Err(refuse(RefusalKind::Exhausted, format!("layer: more than {} bytes unpacked", limits.bytes)));
        }
        if out.send(Ok(block)).is_err() {
            return Ok(());
        }
    }
}

fn open<R: Read + 'static>(mut input: R) -> io::Result<Box<dyn Read>> {
    let mut head = Vec::new();
    (&mut input).take(4).read_to_end(&mut head)?;
    let magic = head.clone();
    let whole: Chain<Cursor<Vec<u8>>, R> = Cursor::new(head).chain(input);
    Ok(match magic.as_slice() {
        [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(io::BufReader::with_capacity(BLOCK, whole))),
        // A zstd frame, or one that is to be skipped: pzstd begins with one.
        [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => {
            Box::new(zstd::stream::read::Decoder::new(whole)?)
        }
        _ => Box::new(whole),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn decode(bytes: Vec<u8>, limits: &Limits) -> Result<Vec<u8>, Refusal> {
        let mut decoder = Decoder::start(Cursor::new(bytes), limits);
        let mut all = Vec::new();
        match decoder.read_to_end(&mut all) {
            Ok(_) => Ok(all),
            Err(_) => Err(decoder.refusal().unwrap()),
        }
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        writer.write_all(bytes).unwrap();
        writer.finish().unwrap()
    }

    #[test]
    fn gzip_zstd_and_plain_are_told_apart() {
        let text = b"a layer ".repeat(100_000);
        let two_members = [gzip(&text[..1000]), gzip(&text[1000..])].concat();
        let zstd = zstd::stream::encode_all(text.as_slice(), 1).unwrap();
        let skipped = [&[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4], zstd.as_slice()].concat();
        for packed in [text.clone(), gzip(&text), two_members, zstd, skipped] {
            assert!(decode(packed, &Limits::default()).unwrap() == text);
        }
        assert!(decode(Vec::new(), &Limits::default()).unwrap().is_empty());
    }

    #[test]
    fn a_bomb_is_cut_off_by_size() {
        let limits = Limits { bytes: 1 << 20, ..Limits::default() };
        let refusal = decode(gzip(&vec![0; 2 << 20]), &limits).unwrap_err();
        assert_eq!(refusal.kind, RefusalKind::Exhausted);
    }

    #[test]
    fn a_torn_stream_is_invalid() {
        let packed = gzip(&b"x".repeat(10_000));
        let refusal = decode(packed[..packed.len() - 9].to_vec(), &Limits::default()).unwrap_err();
        assert_eq!(refusal.kind, RefusalKind::Invalid);
    }
}
