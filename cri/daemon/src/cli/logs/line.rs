//! A line of a log: `RFC3339Nano stdout|stderr P|F text`.

use std::io::Write as _;

use crate::cli::error::CliError;

/// A parsed line.
#[derive(Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Of the container's standard error.
    pub stderr: bool,
    /// No newline of the container ends it: more of the same line follows, or its output ended so.
    pub partial: bool,
    /// What the container wrote.
    pub text: &'a [u8],
}

impl<'a> Line<'a> {
    /// A line of the file. What is not of the format is shown as it is: better than not at all.
    pub fn parse(line: &'a [u8]) -> Self {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let mut fields = line.splitn(4, |byte| *byte == b' ');
        match (fields.next(), fields.next(), fields.next(), fields.next()) {
            (Some(_), Some(stream @ (b"stdout" | b"stderr")), Some(tag @ (b"P" | b"F")), Some(text)) => {
                Line { stderr: stream == b"stderr", partial: tag == b"P", text }
            }
            _ => Line { stderr: false, partial: false, text: line },
        }
    }

    /// Writes it to the stream that it came from.
    pub fn write(&self) -> Result<(), CliError> {
        let end: &[u8] = if self.partial { b"" } else { b"\n" };
        let whole = [self.text, end].concat();
        let written = if self.stderr {
            std::io::stderr().lock().write_all(&whole)
        } else {
            let mut out = std::io::stdout().lock();
            out.write_all(&whole).and_then(|()| out.flush())
        };
        match written {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
            result => result.map_err(|e| CliError::Output(e.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_its_stream_and_whether_more_follows() {
        let line = Line::parse(b"2026-01-01T00:00:00.000000001Z stderr P a b\n");
        assert_eq!(line, Line { stderr: true, partial: true, text: b"a b" });
        assert_eq!(Line::parse(b"t stdout F \n"), Line { stderr: false, partial: false, text: b"" });
    }

    #[test]
    fn what_is_no_log_line_is_shown_whole() {
        assert_eq!(Line::parse(b"what is this\n").text, b"what is this");
    }
}
