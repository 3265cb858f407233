//! Cuts output into log lines: `TIME STREAM TAG CONTENT`, TAG `F` for the piece of a line that its newline ends, and
//! `P` for every other: those before it, and what a stream ended with instead of a newline. Readers join pieces and add
//! a newline after `F` alone, so they see the very bytes that were written.

use std::time::SystemTime;

use super::time::rfc3339;

/// Longest content of one log line, bytes: what other runtimes use, and what kubelet's reader is made for.
pub(crate) const MAX_CONTENT: usize = 16 * 1024;

/// Gathers the output of one stream until a line is complete or full.
#[derive(Debug)]
pub(crate) struct LineCutter {
    stream: &'static str,
    pending: Vec<u8>,
}

impl LineCutter {
    /// A cutter for the stream of this name (`stdout`, `stderr`).
    pub(crate) fn new(stream: &'static str) -> Self {
        LineCutter { stream, pending: Vec::new() }
    }

    /// Hands over each log line that these bytes complete, newline included.
    pub(crate) fn push(&mut self, mut bytes: &[u8], now: SystemTime, mut write: impl FnMut(&[u8])) {
        while !bytes.is_empty() {
            let room = MAX_CONTENT - self.pending.len();
            match bytes.iter().take(room + 1).position(|&byte| byte == b'\n') {
                Some(end) => {
                    self.line(&bytes[..end], 'F', now, &mut write);
                    bytes = &bytes[end + 1..];
                }
                None if bytes.len() > room => {
                    self.line(&bytes[..room], 'P', now, &mut write);
                    bytes = &bytes[room..];
                }
                None => {
                    self.pending.extend_from_slice(bytes);
                    return;
                }
            }
        }
    }

    /// The stream ended: what is left is a piece that no newline ended.
    pub(crate) fn finish(&mut self, now: SystemTime, mut write: impl FnMut(&[u8])) {
        if !self.pending.is_empty() {
            self.line(&[], 'P', now, &mut write);
        }
        self.pending = Vec::new();
    }

    fn line(&mut self, rest: &[u8], tag: char, now: SystemTime, write: &mut impl FnMut(&[u8])) {
        let mut line = Vec::with_capacity(48 + self.pending.len() + rest.len());
        line.extend_from_slice(rfc3339(now).as_bytes());
        line.extend_from_slice(format!(" {} {tag} ", self.stream).as_bytes());
        line.extend_from_slice(&self.pending);
        line.extend_from_slice(rest);
        line.push(b'\n');
        self.pending.clear();
        write(&line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    fn cut(chunks: &[&[u8]]) -> Vec<String> {
        let mut lines = Vec::new();
        let mut cutter = LineCutter::new("stdout");
        let mut take = |line: &[u8]| {
            assert_eq!(line.last(), Some(&b'\n'));
            let text = String::from_utf8(line[..line.len() - 1].to_vec()).unwrap();
            lines.push(text.strip_prefix("1970-01-01T00:00:00.000000000Z stdout ").unwrap().to_owned());
        };
        chunks.iter().for_each(|chunk| cutter.push(chunk, UNIX_EPOCH, &mut take));
        cutter.finish(UNIX_EPOCH, &mut take);
        lines
    }

    #[test]
    fn lines_are_full_however_they_arrive() {
        assert_eq!(cut(&[b"one\ntw", b"o\n", b"\n"]), ["F one", "F two", "F "]);
    }

    #[test]
    fn a_line_without_newline_at_the_end_is_not_lost_and_gets_none() {
        assert_eq!(cut(&[b"one\nrest"]), ["F one", "P rest"]);
        assert_eq!(cut(&[b"one\n"]), ["F one"]);
    }

    #[test]
    fn a_long_line_is_cut_at_16_kib_and_joins_to_the_same_bytes() {
        for length in [MAX_CONTENT - 1, MAX_CONTENT, MAX_CONTENT + 1, 3 * MAX_CONTENT, 50_000] {
            let text = "x".repeat(length);
            let input = format!("{text}\nnext\n");
            for size in [1000, MAX_CONTENT, 100_000] {
                let lines = cut(&input.as_bytes().chunks(size).collect::<Vec<_>>());
                let (last, full) = lines.split_last().unwrap();
                assert_eq!(last, "F next");
                let (end, parts) = full.split_last().unwrap();
                assert!(
                    end.starts_with("F ")
                        && parts.iter().all(|part| part.starts_with("P ") && part.len() == MAX_CONTENT + 2)
                );
                assert_eq!(full.iter().map(|part| &part[2..]).collect::<String>(), text, "{length} in {size}");
            }
        }
    }
}
