//! What a client sends (RFC 9113): the preface, then frames. Field blocks stand in HEADERS and CONTINUATION.

use super::fields::Fields;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const PADDED: u8 = 0x08;
const PRIORITY: u8 = 0x20;
/// Bytes of a frame's head, and of a priority.
const HEAD: usize = 9;
const WEIGHT: usize = 5;

/// Where in the bytes of a connection the next one stands.
#[derive(Debug, Default)]
pub struct Frames {
    at: At,
    fields: Fields,
}

#[derive(Debug, Clone, Copy)]
enum At {
    /// So many bytes of the preface were there.
    Preface(usize),
    /// So many bytes of a frame's head were there.
    Head([u8; HEAD], usize),
    /// The length of the padding of a HEADERS frame; so many bytes follow it.
    Padding { rest: usize, skip: usize },
    /// So many bytes of no interest, then a field block with so much padding behind it.
    Skip { left: usize, block: usize, padding: usize },
    /// So many bytes of a field block, then padding.
    Block { left: usize, padding: usize },
    /// This is not HTTP/2.
    Foreign,
}

impl Default for At {
    fn default() -> Self {
        At::Preface(0)
    }
}

impl Frames {
    /// Passes over the next bytes, and mends the authorities in them.
    pub fn mend(&mut self, mut bytes: &mut [u8]) {
        while !bytes.is_empty() {
            let used = self.step(bytes);
            bytes = &mut bytes[used..];
        }
    }

    fn step(&mut self, bytes: &mut [u8]) -> usize {
        match self.at {
            At::Foreign => bytes.len(),
            At::Preface(n) if bytes[0] != PREFACE[n] => {
                self.at = At::Foreign;
                bytes.len()
            }
            At::Preface(n) => {
                self.at = if n + 1 == PREFACE.len() { At::Head([0; HEAD], 0) } else { At::Preface(n + 1) };
                1
            }
            At::Head(mut head, n) => {
                head[n] = bytes[0];
                self.at = if n + 1 == HEAD { self.frame(&head) } else { At::Head(head, n + 1) };
                1
            }
            At::Padding { rest, skip } => {
                let padding = usize::from(bytes[0]);
                let block = rest.saturating_sub(skip + padding);
                // More padding than there are bytes is an error of which the reader will tell.
                self.at = skipping(skip.min(rest), block, rest - skip.min(rest) - block);
                1
            }
            At::Skip { left, block, padding } => {
                let used = left.min(bytes.len());
                self.at = skipping(left - used, block, padding);
                used
            }
            At::Block { left, padding } => {
                let used = left.min(bytes.len());
                self.fields.mend(&mut bytes[..used]);
                self.at = if left == used { skipping(padding, 0, 0) } else { At::Block { left: left - used, padding } };
                used
            }
        }
    }

    fn frame(&mut self, head: &[u8; HEAD]) -> At {
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let (kind, flags) = (head[3], head[4]);
        if kind == HEADERS {
            self.fields = Fields::default();
        }
        let skip = if flags & PRIORITY != 0 { WEIGHT } else { 0 };
        match kind {
            HEADERS if flags & PADDED != 0 && length > 0 => At::Padding { rest: length - 1, skip },
            HEADERS => skipping(skip.min(length), length.saturating_sub(skip), 0),
            CONTINUATION => skipping(0, length, 0),
            _ => skipping(length, 0, 0),
        }
    }
}

/// What comes next, without the parts that are empty.
fn skipping(left: usize, block: usize, padding: usize) -> At {
    match (left, block, padding) {
        (0, 0, 0) => At::Head([0; HEAD], 0),
        (0, 0, padding) => At::Skip { left: padding, block: 0, padding: 0 },
        (0, left, padding) => At::Block { left, padding },
        (left, block, padding) => At::Skip { left, block, padding },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = &(payload.len() as u32).to_be_bytes()[1..];
        [length, &[kind, flags, 0, 0, 0, 1], payload].concat()
    }

    fn mended(bytes: &[u8]) -> Vec<u8> {
        let whole = {
            let mut whole = bytes.to_vec();
            Frames::default().mend(&mut whole);
            whole
        };
        for size in [1, 2, 7, 64] {
            let (mut frames, mut parts) = (Frames::default(), bytes.to_vec());
            parts.chunks_mut(size).for_each(|part| frames.mend(part));
            assert_eq!(parts, whole, "in parts of {size}");
        }
        whole
    }

    #[test]
    fn authorities_are_found_wherever_their_block_stands() {
        let stream = |value: &[u8]| {
            let block = [&[0x82, 0x41, value.len() as u8], value, &[0x86]].concat();
            let padded = [&[2, 0, 0, 0, 0, 9], &block[..], &[0x41, 0x25]].concat();
            let (first, second) = block.split_at(5);
            [
                PREFACE.to_vec(),
                frame(4, 0, &[0; 6]),
                frame(HEADERS, 4, &block),
                frame(0, 1, b"\x41\x03%%%"),
                frame(HEADERS, 4 | PADDED | PRIORITY, &padded),
                frame(HEADERS, 0, first),
                frame(CONTINUATION, 0, second),
                frame(CONTINUATION, 4, &[]),
                frame(HEADERS, 4, &[]),
                frame(HEADERS, 4 | PRIORITY, &[&[0; 5], &block[..]].concat()),
            ]
            .concat()
        };
        assert_eq!(mended(&stream(b"%2Frun%2Fx")), stream(b"-2Frun-2Fx"));
    }

    #[test]
    fn nonsense_passes_unchanged_and_never_panics() {
        let http1 = b"GET / HTTP/1.1\r\nHost: %2F\r\n\r\n";
        assert_eq!(mended(http1), http1);
        let wrong = [
            PREFACE,
            &frame(HEADERS, PADDED, &[200, 1, 2]),
            &frame(HEADERS, PADDED, &[]),
            &frame(HEADERS, PRIORITY, &[1]),
        ];
        assert_eq!(mended(&wrong.concat()), wrong.concat());
    }
}
