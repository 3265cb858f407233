//! Names and metadata of entries, and single steps on files: each by a directory's descriptor and a name that is never
//! followed.

use std::ffi::CString;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, RawMode, ResolveFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::report::{Refusal, RefusalKind};

/// A path below the root, its components.
pub(crate) type Path<'a> = [&'a [u8]];

/// What an entry says of its file.
pub(crate) struct Meta {
    pub uid: u32,
    pub gid: u32,
    pub mode: u32,
    pub mtime: Timespec,
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// The components of an entry's name below the root. A leading `/` means the root; `..` is refused.
pub(crate) fn path_of(name: &[u8]) -> Result<Vec<&[u8]>, Refusal> {
    let parts: Vec<&[u8]> = name.split(|b| *b == b'/').filter(|part| !part.is_empty() && *part != b".").collect();
    if parts.iter().any(|part| *part == b"..") {
        return Err(invalid(&parts, "leaves its directory by \"..\""));
    }
    if name.contains(&0) {
        return Err(invalid(&parts, "contains a zero byte"));
    }
    Ok(parts)
}

/// No path in a layer is longer, links resolved: what is longer no system call takes, and no other runtime unpacks. It
/// bounds the depth to half as many directories.
pub(crate) const MAX_PATH: usize = 4095;

/// Refuses a path that is too long.
pub(crate) fn check_length(path: &Path) -> Result<(), Refusal> {
    let length = path.iter().map(|part| part.len() + 1).sum::<usize>();
    if length <= MAX_PATH {
        return Ok(());
    }
    let text = format!("has a path of more than {MAX_PATH} bytes, links resolved");
    Err(invalid(&path[..path.len().min(8)], &format!("and what follows {text}")))
}

/// A refusal of an entry.
pub(crate) fn invalid(path: &Path, text: &str) -> Refusal {
    Refusal { kind: RefusalKind::Invalid, text: format!("layer entry {:?} {text}", lossy(path)) }
}

/// A step on an entry that the kernel refuses.
pub(crate) fn failed(path: &Path, step: &str, error: Errno) -> Refusal {
    let kind = match error {
        Errno::NOSPC | Errno::DQUOT => RefusalKind::Exhausted,
        Errno::IO | Errno::ROFS | Errno::NOMEM | Errno::MFILE | Errno::NFILE => RefusalKind::Failed,
        _ => RefusalKind::Invalid,
    };
    Refusal { kind, text: format!("layer entry {:?}: {step}: {error}", lossy(path)) }
}

pub(crate) fn lossy(path: &Path) -> String {
    String::from_utf8_lossy(&path.join(&b'/')).into_owned()
}

pub(crate) fn join<'a>(dir: &Path<'a>, name: &'a [u8]) -> Vec<&'a [u8]> {
    [dir, &[name]].concat()
}

/// A directory below the root, as a handle for *at calls.
pub(crate) fn open_in_root(root: &OwnedFd, path: &[u8]) -> Result<OwnedFd, Errno> {
    open_with(root, path, ResolveFlags::empty())
}

/// The same where no component of the path is a link.
pub(crate) fn open_plain(root: &OwnedFd, path: &[u8]) -> Result<OwnedFd, Errno> {
    open_with(root, path, ResolveFlags::NO_SYMLINKS)
}

fn open_with(root: &OwnedFd, path: &[u8], more: ResolveFlags) -> Result<OwnedFd, Errno> {
    let path = if path.is_empty() { b"." } else { path };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
    rustix::fs::openat2(root, path, flags, Mode::empty(), resolve | more)
}

pub(crate) fn open_dir(parent: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(
        parent,
        name,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )
}

pub(crate) fn is_whiteout(parent: BorrowedFd<'_>, name: &[u8]) -> bool {
    rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|s| FileType::from_raw_mode(s.st_mode) == FileType::CharacterDevice && s.st_rdev == 0)
}

/// Removes what has that name, with all below it. No entry can have the name that it has on the way.
pub(crate) fn remove(parent: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Err(Errno::ISDIR) => {}
        other => return other,
    }
    let name = CString::new(name).map_err(|_| Errno::INVAL)?;
    let removed = cofferdam_tree::remove_at(parent, &name, c".wh..wh.removing");
    removed.map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))
}

/// Owner first: changing it clears setuid bits and file capabilities.
pub(crate) fn set_meta(fd: BorrowedFd<'_>, meta: &Meta) -> Result<(), Errno> {
    rustix::fs::fchown(fd, Some(Uid::from_raw(meta.uid)), Some(Gid::from_raw(meta.gid)))?;
    rustix::fs::fchmod(fd, Mode::from_raw_mode(meta.mode as RawMode))?;
    for (name, value) in &meta.xattrs {
        match rustix::fs::fsetxattr(fd, name.as_slice(), value, XattrFlags::empty()) {
            // The file system has none; containers find them missing, as on other runtimes.
            Err(Errno::OPNOTSUPP) => {}
            other => other?,
        }
    }
    Ok(())
}

/// One time for access and change.
pub(crate) fn both_times(time: Timespec) -> Timestamps {
    Timestamps { last_access: time, last_modification: time }
}

pub(crate) fn write_all(file: &OwnedFd, mut bytes: &[u8], mut at: u64) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::pwrite(file, bytes, at) {
            Ok(n) => (bytes, at) = (&bytes[n..], at + n as u64),
            Err(Errno::INTR) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// What stays free, or a twentieth of a smaller disk.
const RESERVE: u64 = 1 << 30;

/// A layer may be large, but it does not fill the disk: containers write there too.
pub(crate) fn check_disk(root: &OwnedFd) -> Result<(), Refusal> {
    let disk = rustix::fs::fstatvfs(root).map_err(|e| failed(&[], "look at the disk", e))?;
    let reserve = RESERVE.min(disk.f_blocks.saturating_mul(disk.f_frsize) / 20);
    match disk.f_bavail.saturating_mul(disk.f_frsize) < reserve {
        false => Ok(()),
        true => Err(Refusal {
            kind: RefusalKind::Exhausted,
            text: format!("layer: would leave less than {reserve} bytes of the disk free"),
        }),
    }
}

/// Reads until the buffer is full or there is no more.
pub(crate) fn fill(content: &mut impl std::io::Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match content.read(&mut buffer[filled..])? {
            0 => break,
            n => filled += n,
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_below_the_root_and_dots_that_leave_are_refused() {
        assert_eq!(path_of(b"/etc/./x").unwrap(), [b"etc".as_slice(), b"x"]);
        assert!(path_of(b"./").unwrap().is_empty());
        for bad in ["../x", "a/../../x", "..", "a/.."] {
            assert!(path_of(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(path_of(b"a\0b").is_err());
    }

    #[test]
    fn a_path_is_as_long_as_a_system_call_takes_it() {
        let path = vec![b"d".as_slice(); 2048];
        assert!(check_length(&path[..2047]).is_ok());
        assert!(check_length(&path).unwrap_err().text.contains("4095"));
    }
}
