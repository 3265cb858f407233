//! Removing a tree while the caller waits.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::bin::{Bin, Turn};
use crate::entries::{Buffer, open_dir};

/// Removes a tree, or a file; an absent one is a success. On the way it lies beside its place, in `.removing-NAME`: a
/// call that was cut off is completed by the next one for the same path.
///
/// # Errors
/// Something in it cannot be removed; the rest is.
pub fn remove(path: &Path) -> io::Result<()> {
    let (parent, name) = match split(path) {
        Ok(split) => split,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    match rustix::fs::unlinkat(&parent, &name, AtFlags::empty()) {
        Ok(()) => return Ok(()),
        Err(Errno::ISDIR | Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    remove_at(parent.as_fd(), &name, &aside_of(&name))
}

/// The same for a directory's entry; `aside` is the name that it has there on the way.
///
/// # Errors
/// As for [`remove`].
pub fn remove_at(parent: BorrowedFd<'_>, name: &CStr, aside: &CStr) -> io::Result<()> {
    let Some(dir) = bin_dir(parent, name, aside)? else { return Ok(()) };
    let bin = Bin::new(dir);
    bin.adopt()?;
    bin.take(parent, name)?;
    let (mut buffer, mut failed) = (Buffer::new(), None);
    loop {
        match bin.turn(&mut buffer) {
            Turn::Done => {}
            Turn::Failed(_, error) => failed = failed.or(Some(error)),
            Turn::Empty => break,
        }
    }
    match failed {
        Some(error) => Err(error),
        None => Ok(rustix::fs::unlinkat(parent, aside, AtFlags::REMOVEDIR)?),
    }
}

/// The directory for what is removed; none if there is nothing to remove.
fn bin_dir(parent: BorrowedFd<'_>, name: &CStr, aside: &CStr) -> io::Result<Option<OwnedFd>> {
    match open_dir(parent, aside) {
        Err(Errno::NOENT) => {}
        other => return Ok(Some(other?)),
    }
    match rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(None),
        other => drop(other?),
    }
    match rustix::fs::mkdirat(parent, aside, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => Ok(Some(open_dir(parent, aside)?)),
        Err(error) => Err(error.into()),
    }
}

/// A name has at most 255 bytes.
fn aside_of(name: &CString) -> CString {
    let name = name.to_bytes();
    CString::new([b".removing-", &name[..name.len().min(240)]].concat()).unwrap_or_default()
}

/// The directory that a path is in, and its name there.
pub(crate) fn split(path: &Path) -> io::Result<(OwnedFd, CString)> {
    let no_name = || io::Error::new(io::ErrorKind::InvalidInput, format!("{}: has no name", path.display()));
    let name = CString::new(path.file_name().ok_or_else(no_name)?.as_bytes())?;
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok((rustix::fs::open(parent, flags, Mode::empty())?, name))
}
