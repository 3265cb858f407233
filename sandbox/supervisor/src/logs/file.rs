//! One container's log file.

use std::os::fd::OwnedFd;
use std::time::SystemTime;

use cofferdam_pod_api::{STDERR, STDOUT};
use rustix::fs::{fstat, ftruncate};
use rustix::io::{Errno, write};

use super::line::LineCutter;

/// Writes the log of one container. Never fails: a line that cannot be written is dropped and counted, since a
/// container must not block on (or die of) its log.
pub(crate) struct LogFile {
    fd: Option<OwnedFd>,
    stdout: LineCutter,
    stderr: LineCutter,
    losses: Losses,
}

#[derive(Default)]
struct Losses {
    total: u64,
    reported: u64,
}

impl LogFile {
    /// A log that goes to `fd` (opened for appending), or nowhere.
    pub(crate) fn new(fd: Option<OwnedFd>) -> Self {
        let (stdout, stderr) = (LineCutter::new("stdout"), LineCutter::new("stderr"));
        LogFile { fd, stdout, stderr, losses: Losses::default() }
    }

    /// Output of a stream.
    pub(crate) fn write(&mut self, channel: u32, bytes: &[u8]) {
        let Some(fd) = &self.fd else { return };
        let losses = &mut self.losses;
        let cutter = if channel == STDERR { &mut self.stderr } else { &mut self.stdout };
        cutter.push(bytes, SystemTime::now(), |line| append(fd, line, losses));
    }

    /// The end of a stream: a partial line is written.
    pub(crate) fn finish(&mut self, channel: u32) {
        let Some(fd) = &self.fd else { return };
        let losses = &mut self.losses;
        let cutter = if channel == STDERR { &mut self.stderr } else { &mut self.stdout };
        cutter.finish(SystemTime::now(), |line| append(fd, line, losses));
    }

    /// The end of both streams.
    pub(crate) fn finish_all(&mut self) {
        self.finish(STDOUT);
        self.finish(STDERR);
    }

    /// Goes on in another file. A line that is not complete yet goes there as a whole, so nothing is lost or doubled.
    pub(crate) fn reopen(&mut self, fd: OwnedFd) {
        self.fd = Some(fd);
    }

    /// Lines that could not be written.
    #[cfg(test)]
    pub(crate) fn dropped(&self) -> u64 {
        self.losses.total
    }
}

// One write a line, so that a reader never sees half of one: what a full disk cut off is taken back.
fn append(fd: &OwnedFd, line: &[u8], losses: &mut Losses) {
    let written = loop {
        match write(fd, line) {
            Err(Errno::INTR) => continue,
            other => break other,
        }
    };
    match written {
        Ok(length) if length == line.len() => {
            if losses.reported < losses.total {
                eprintln!("{} log lines were dropped", losses.total - losses.reported);
                losses.reported = losses.total;
            }
        }
        Ok(partial) => {
            losses.total += 1;
            if let Ok(stat) = fstat(fd) {
                let _ = ftruncate(fd, (stat.st_size as u64).saturating_sub(partial as u64));
            }
        }
        Err(_) => losses.total += 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{File, OpenOptions, read_to_string};
    use std::path::Path;

    fn open(path: &Path) -> OwnedFd {
        OpenOptions::new().append(true).create(true).open(path).unwrap().into()
    }

    fn contents(path: &Path) -> Vec<String> {
        read_to_string(path).unwrap().lines().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect()
    }

    #[test]
    fn reopening_loses_and_doubles_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (dir.path().join("a"), dir.path().join("b"));
        let mut log = LogFile::new(Some(open(&first)));
        log.write(STDOUT, b"one\ntw");
        log.reopen(open(&second));
        log.write(STDOUT, b"o\n");
        log.write(STDERR, b"oops");
        log.finish_all();
        assert_eq!(contents(&first), ["stdout F one"]);
        assert_eq!(contents(&second), ["stdout F two", "stderr P oops"]);
    }

    #[test]
    fn a_full_disk_drops_and_counts_lines_and_does_not_fail() {
        let mut log = LogFile::new(Some(File::options().write(true).open("/dev/full").unwrap().into()));
        log.write(STDOUT, b"one\ntwo\n");
        assert_eq!(log.dropped(), 2);
    }
}
