//! One directory, read by descriptor.

use std::ffi::CStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, RawDir, SeekFrom};
use rustix::io::Errno;

/// Room for the entries of one read; the longest name fits many times.
const BUFFER: usize = 32 << 10;

/// A buffer for reading directories.
pub(crate) struct Buffer(Vec<MaybeUninit<u8>>);

impl Buffer {
    pub fn new() -> Self {
        Buffer(vec![MaybeUninit::uninit(); BUFFER])
    }

    /// Calls `see` with each entry from the descriptor's position on, its inode number, and the position behind it,
    /// until it gives a value.
    pub fn find<T>(
        &mut self,
        dir: BorrowedFd<'_>,
        mut see: impl FnMut(&CStr, u64, u64) -> io::Result<Option<T>>,
    ) -> io::Result<Option<T>> {
        let mut entries = RawDir::new(dir, &mut self.0);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            if let Some(found) = see(name, entry.ino(), entry.next_entry_cookie())? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

/// Opens a directory for reading; a link is not followed.
pub(crate) fn open_dir(parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}

/// Puts a directory's descriptor to a position that an earlier read gave; 0 is the beginning.
pub(crate) fn go_to(dir: &OwnedFd, position: u64) -> Result<(), Errno> {
    rustix::fs::seek(dir.as_fd(), SeekFrom::Start(position)).map(drop)
}
