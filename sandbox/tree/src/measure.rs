//! What a tree takes.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{FileType, Stat};

use crate::walk::{Seen, Visitor, walk};

/// Disk space and inodes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    /// Bytes on the disk.
    pub bytes: u64,
    /// Inodes.
    pub inodes: u64,
}

impl Size {
    fn add(&mut self, found: &Stat) {
        let is_dir = FileType::from_raw_mode(found.st_mode) == FileType::Directory;
        // Of a file with several names each name counts its share.
        let names = if is_dir { 1 } else { found.st_nlink.max(1) };
        self.bytes += u64::try_from(found.st_blocks).unwrap_or(0) * 512 / names;
        self.inodes += 1;
    }
}

impl Visitor for Size {
    fn entry(&mut self, _: BorrowedFd<'_>, _: &CStr, found: &Stat) -> io::Result<bool> {
        self.add(found);
        Ok(true)
    }

    fn left(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Measures a directory with all below it. What vanishes meanwhile is not counted; of a tree that is moved about
/// meanwhile it is a part.
///
/// # Errors
/// A directory cannot be read.
pub fn measure(root: impl AsFd) -> io::Result<(Size, Seen)> {
    let mut size = Size::default();
    size.add(&rustix::fs::fstat(&root)?);
    let seen = walk(root.as_fd(), &mut size)?;
    Ok((size, seen))
}
