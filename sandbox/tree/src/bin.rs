//! A directory whose content is being removed.
//!
//! Directories are made flat: what is not empty below an entry becomes an entry itself, under the next number, and the
//! entries are taken in the order of their numbers. So there is no depth to descend, nothing to remember but two
//! numbers, and large trees take turns with small ones.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::AtFlags;
use rustix::io::Errno;

use crate::entries::{Buffer, go_to, open_dir};

/// Entries of one directory that are removed before others have their turn.
const TURN: u32 = 10_000;
/// How often what fails is tried: an unpacker that was killed may still write for a moment.
pub(crate) const TRIES: u32 = 3;

/// The directory.
pub(crate) struct Bin {
    dir: OwnedFd,
    /// Names of this value begin so; others are an earlier one's.
    prefix: String,
    next: Mutex<Numbers>,
}

#[derive(Default)]
struct Numbers {
    taken: u64,
    made: u64,
}

/// How an entry's turn ended.
pub(crate) enum Turn {
    /// There is none to take.
    Empty,
    /// It is gone, or waits for its next turn.
    Done,
    /// It cannot be removed now. It stays under this name.
    Failed(CString, io::Error),
}

impl Bin {
    pub fn new(dir: OwnedFd) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos());
        Bin { dir, prefix: format!("{now:x}-{}-", std::process::id()), next: Mutex::default() }
    }

    /// Moves something in: from then on its old name is free. False: there is nothing of that name.
    pub fn take(&self, parent: BorrowedFd<'_>, name: &CStr) -> io::Result<bool> {
        let mut numbers = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        match rustix::fs::renameat(parent, name, &self.dir, self.name(numbers.made)) {
            Ok(()) => {
                numbers.made += 1;
                Ok(true)
            }
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes over what an earlier value has left.
    pub fn adopt(&self) -> io::Result<()> {
        go_to(&self.dir, 0)?;
        let mut buffer = Buffer::new();
        buffer.find(self.dir.as_fd(), |name, _, _| {
            if !name.to_bytes().starts_with(self.prefix.as_bytes()) {
                self.take(self.dir.as_fd(), name)?;
            }
            Ok(None::<()>)
        })?;
        Ok(())
    }

    /// Gives the next entry its turn.
    pub fn turn(&self, buffer: &mut Buffer) -> Turn {
        let number = {
            let mut numbers = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            if numbers.taken == numbers.made {
                return Turn::Empty;
            }
            numbers.taken += 1;
            numbers.taken - 1
        };
        let name = self.name(number);
        match self.clear(&name, buffer) {
            Ok(true) => Turn::Done,
            // Its next turn is after those that wait now.
            Ok(false) => match self.take(self.dir.as_fd(), &name) {
                Ok(_) => Turn::Done,
                Err(error) => Turn::Failed(name, error),
            },
            Err(error) => Turn::Failed(name, error),
        }
    }

    /// Puts what has failed at the end of the line.
    pub fn again(&self, name: &CStr) {
        // If even this fails, it stays where it is until another value adopts it.
        let _ = self.take(self.dir.as_fd(), name);
    }

    fn name(&self, number: u64) -> CString {
        CString::new(format!("{}{number}", self.prefix)).unwrap_or_default()
    }

    /// Removes an entry; a directory below it becomes another entry. False: there is more of it.
    fn clear(&self, name: &CStr, buffer: &mut Buffer) -> io::Result<bool> {
        if unlink(self.dir.as_fd(), name)? {
            return Ok(true);
        }
        let dir = open_dir(self.dir.as_fd(), name)?;
        let (mut left, mut failed) = (TURN, None);
        let more = buffer.find(dir.as_fd(), |name, _, _| {
            let gone = match unlink(dir.as_fd(), name) {
                Ok(false) => self.take(dir.as_fd(), name).map(drop),
                other => other.map(drop),
            };
            // The rest goes all the same.
            failed = failed.take().or(gone.err());
            left -= 1;
            Ok((left == 0).then_some(()))
        })?;
        match (failed, more) {
            (Some(error), _) => Err(error),
            (None, Some(())) => Ok(false),
            (None, None) => match rustix::fs::unlinkat(&self.dir, name, AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOENT) => Ok(true),
                Err(error) => Err(error.into()),
            },
        }
    }
}

/// Removes a file or an empty directory. False: it is a directory that is not empty.
fn unlink(parent: BorrowedFd<'_>, name: &CStr) -> io::Result<bool> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(true),
        Err(Errno::ISDIR) => {}
        Err(error) => return Err(error.into()),
    }
    match rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
