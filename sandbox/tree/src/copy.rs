//! Copying a tree: content, owners, modes, times, attributes, and hard links as files of their own.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, RawMode, Stat, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use crate::entries::open_dir;
use crate::walk::{Seen, Visitor, walk};

/// Largest list of attribute names, and largest value, that Linux has.
const ATTRIBUTE: usize = 64 << 10;

/// What was copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Copied {
    /// Bytes of files.
    pub bytes: u64,
    /// Files, directories, links.
    pub inodes: u64,
}

/// Copies what is in a directory, and its own metadata, into a directory that is empty and nobody else's. Device nodes
/// are left out, and so are attributes of `trusted` and `security` other than file capabilities.
///
/// # Errors
/// The disk is full, the source cannot be read or is being changed, or there is more in it than `most`: since every
/// hard link becomes a file, that can be far more than the source takes.
pub fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>, most: Copied) -> io::Result<Copied> {
    let mut copy = Copy { to: vec![], dir: open_dir(to, c".")?, copied: Copied::default(), most };
    let found = rustix::fs::fstat(from)?;
    let seen = walk(from, &mut copy)?;
    attributes(from, copy.dir.as_fd())?;
    metadata(copy.dir.as_fd(), &found)?;
    match seen {
        Seen::Whole => Ok(copy.copied),
        Seen::Torn => Err(io::Error::other("the tree was changed while it was copied")),
    }
}

/// Gives a directory or file the owner, mode, times and attributes of another.
///
/// # Errors
/// The file system refuses them.
pub fn copy_metadata(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    attributes(from, to)?;
    metadata(to, &rustix::fs::fstat(from)?)
}

struct Copy {
    /// Metadata of the directories that the walk is in: at most as deep as the source.
    to: Vec<Stat>,
    dir: OwnedFd,
    copied: Copied,
    most: Copied,
}

impl Visitor for Copy {
    fn entry(&mut self, dir: BorrowedFd<'_>, name: &CStr, found: &Stat) -> io::Result<bool> {
        self.copied.inodes += 1;
        // Whole blocks: what is a hole costs nothing.
        let file = FileType::from_raw_mode(found.st_mode) == FileType::RegularFile;
        let bytes = u64::try_from(found.st_blocks).unwrap_or(0) * if file { 512 } else { 0 };
        if self.copied.inodes > self.most.inodes || self.copied.bytes.saturating_add(bytes) > self.most.bytes {
            let Copied { bytes, inodes } = self.most;
            let text = format!("the tree is too large to be copied: at most {bytes} bytes and {inodes} files");
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, text));
        }
        match FileType::from_raw_mode(found.st_mode) {
            FileType::Directory => {
                rustix::fs::mkdirat(&self.dir, name, Mode::RWXU)?;
                let made = open_dir(self.dir.as_fd(), name)?;
                attributes(open_dir(dir, name)?.as_fd(), made.as_fd())?;
                self.to.push(*found);
                self.dir = made;
                return Ok(true);
            }
            FileType::RegularFile => self.file(dir, name, found)?,
            FileType::Symlink => {
                let text = rustix::fs::readlinkat(dir, name, Vec::new())?;
                rustix::fs::symlinkat(&*text, &self.dir, name)?;
                self.by_name(name, found)?;
            }
            kind @ (FileType::Fifo | FileType::Socket) => {
                rustix::fs::mknodat(&self.dir, name, kind, Mode::RUSR | Mode::WUSR, 0)?;
                self.by_name(name, found)?;
                // Nobody else is here: what was made just now is no link.
                rustix::fs::chmodat(&self.dir, name, mode_of(found), AtFlags::empty())?;
            }
            _ => self.copied.inodes -= 1,
        }
        Ok(false)
    }

    fn left(&mut self) -> io::Result<()> {
        if let Some(found) = self.to.pop() {
            metadata(self.dir.as_fd(), &found)?;
            self.dir = open_dir(self.dir.as_fd(), c"..")?;
        }
        Ok(())
    }
}

impl Copy {
    fn file(&mut self, dir: BorrowedFd<'_>, name: &CStr, found: &Stat) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let from = rustix::fs::openat(dir, name, flags, Mode::empty())?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let to = rustix::fs::openat(&self.dir, name, flags, Mode::RUSR | Mode::WUSR)?;
        self.copied.bytes += content(&from, &to, u64::try_from(found.st_size).unwrap_or(0))?;
        attributes(from.as_fd(), to.as_fd())?;
        metadata(to.as_fd(), found)
    }

    fn by_name(&self, name: &CStr, found: &Stat) -> io::Result<()> {
        let (uid, gid) = (Uid::from_raw(found.st_uid), Gid::from_raw(found.st_gid));
        rustix::fs::chownat(&self.dir, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(rustix::fs::utimensat(&self.dir, name, &times(found), AtFlags::SYMLINK_NOFOLLOW)?)
    }
}

/// Copies what is not a hole: a disk image of zeros stays small.
fn content(from: &OwnedFd, to: &OwnedFd, size: u64) -> io::Result<u64> {
    use rustix::fs::SeekFrom::{Data, Hole};
    rustix::fs::ftruncate(to, size)?;
    let (mut at, mut copied) = (0, 0);
    while at < size {
        let start = match rustix::fs::seek(from, Data(at)) {
            Err(Errno::NXIO) => break,
            other => other?,
        };
        let end = rustix::fs::seek(from, Hole(start))?.min(size);
        let (mut read, mut written) = (start, start);
        while read < end {
            let most = usize::try_from(end - read).unwrap_or(usize::MAX).min(1 << 30);
            let n = match rustix::fs::copy_file_range(from, Some(&mut read), to, Some(&mut written), most) {
                Err(Errno::XDEV | Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS) => {
                    by_hand(from, to, &mut read, &mut written, end)?
                }
                other => other? as u64,
            };
            if n == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
            copied += n;
        }
        at = end;
    }
    Ok(copied)
}

/// For file systems that do not copy themselves.
fn by_hand(from: &OwnedFd, to: &OwnedFd, read: &mut u64, written: &mut u64, end: u64) -> io::Result<u64> {
    let mut block = vec![0; 128 << 10];
    let most = usize::try_from(end - *read).unwrap_or(usize::MAX).min(block.len());
    let n = rustix::io::pread(from, &mut block[..most], *read)?;
    let mut done = 0;
    while done < n {
        done += rustix::io::pwrite(to, &block[done..n], *written + done as u64)?;
    }
    (*read, *written) = (*read + n as u64, *written + n as u64);
    Ok(n as u64)
}

/// Owner first: changing it clears setuid bits.
fn metadata(to: BorrowedFd<'_>, found: &Stat) -> io::Result<()> {
    rustix::fs::fchown(to, Some(Uid::from_raw(found.st_uid)), Some(Gid::from_raw(found.st_gid)))?;
    rustix::fs::fchmod(to, mode_of(found))?;
    Ok(rustix::fs::futimens(to, &times(found))?)
}

fn mode_of(found: &Stat) -> Mode {
    Mode::from_raw_mode(found.st_mode as RawMode & 0o7777)
}

fn times(found: &Stat) -> Timestamps {
    let time = |tv_sec: i64, nsec: u64| Timespec { tv_sec, tv_nsec: i64::try_from(nsec).unwrap_or(0) };
    Timestamps {
        last_access: time(found.st_atime, found.st_atime_nsec),
        last_modification: time(found.st_mtime, found.st_mtime_nsec),
    }
}

fn attributes(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    let mut names = vec![0; ATTRIBUTE];
    let length = match rustix::fs::flistxattr(from, &mut names) {
        Err(Errno::OPNOTSUPP) => return Ok(()),
        other => other?,
    };
    let mut value = vec![0; ATTRIBUTE];
    for name in names[..length].split(|b| *b == 0).filter(|name| is_kept(name)) {
        let name = CString::new(name)?;
        let length = rustix::fs::fgetxattr(from, &name, &mut value)?;
        match rustix::fs::fsetxattr(to, &name, &value[..length], XattrFlags::empty()) {
            Ok(()) | Err(Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn is_kept(name: &[u8]) -> bool {
    name == b"security.capability" || name.starts_with(b"user.") || name.starts_with(b"system.posix_acl_")
}
