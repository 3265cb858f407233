//! Paths inside a container's root: nothing leads out of it, and what is missing is made only inside.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, mkdirat, mknodat, openat, openat2, readlinkat};
use rustix::io::Errno;

use crate::Error;
use crate::error::Step;

const LINKS: usize = 40;

/// How often a walk is tried that renames disturb: who renames without end gets an error, not a hanging set-up.
const TRIES: usize = 1000;

/// Opens a path as the container would, with its root as `/`.
pub(crate) fn open_in(root: BorrowedFd<'_>, path: &Path, flags: OFlags, more: ResolveFlags) -> Result<OwnedFd, Errno> {
    let relative = path.strip_prefix("/").unwrap_or(path);
    let relative = if relative.as_os_str().is_empty() { Path::new(".") } else { relative };
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | more;
    for _ in 0..TRIES {
        match openat2(root, relative, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            // A rename on the host raced with the walk.
            Err(Errno::AGAIN) => {}
            other => return other,
        }
    }
    Err(Errno::AGAIN)
}

/// Opens (O_PATH) what a directory has by this name: a link itself, never what it leads to.
pub(crate) fn open_name(dir: impl AsFd, name: &OsStr) -> Result<OwnedFd, Errno> {
    openat(dir, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

/// What a missing target is made as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    Dir,
    File,
}

/// Whether something may be made in this directory.
pub(crate) type MayMake<'a> = &'a dyn Fn(BorrowedFd<'_>) -> Result<bool, Error>;

/// What became of a missing path.
enum Made {
    /// It is there.
    Done,
    /// A part of it is a dangling link: the path with that followed.
    Link(PathBuf),
    /// Nothing may be made where it is missing.
    Refused,
}

/// Opens (O_PATH) a mount's target, and makes it where it is missing, but for directories in which nothing may be made
/// (`None`). The caller's umask is 0.
pub(crate) fn target(
    root: BorrowedFd<'_>,
    path: &Path,
    kind: Target,
    may_make: MayMake<'_>,
) -> Result<Option<OwnedFd>, Error> {
    let mut path = path.to_owned();
    // Each turn follows a link, or meets a change by somebody else.
    for _ in 0..LINKS {
        match open_in(root, &path, OFlags::PATH, ResolveFlags::empty()) {
            Err(Errno::NOENT) => match make(root, &path, kind, may_make)? {
                Made::Done => {}
                Made::Link(link) => path = link,
                Made::Refused => return Ok(None),
            },
            other => return other.map(Some).step_at("open in the container's root", path.display()),
        }
    }
    Err(Error::failed(format!("open in the container's root {}", path.display()), Errno::LOOP))
}

/// Makes the missing parts of a path, by names in directories that are held open: 0755 directories, at the end a 0644
/// file where one is wanted.
fn make(root: BorrowedFd<'_>, path: &Path, kind: Target, may_make: MayMake<'_>) -> Result<Made, Error> {
    let parts: Vec<_> = path.components().filter(|c| *c != Component::RootDir && *c != Component::CurDir).collect();
    let mut done = PathBuf::from("/");
    for (index, part) in parts.iter().enumerate() {
        let next = done.join(part);
        if !matches!(open_in(root, &next, OFlags::PATH, ResolveFlags::empty()), Err(Errno::NOENT)) {
            done = next;
            continue;
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let parent = open_in(root, &done, flags, ResolveFlags::empty())
            .step_at("open in the container's root", done.display())?;
        let Component::Normal(name) = part else {
            return Err(Error::failed(format!("make {}", path.display()), Errno::NOENT));
        };
        if !may_make(parent.as_fd())? {
            return Ok(Made::Refused);
        }
        let last = index + 1 == parts.len();
        let made = match kind {
            Target::File if last => mknodat(&parent, *name, FileType::RegularFile, Mode::from_raw_mode(0o644), 0),
            _ => mkdirat(&parent, *name, Mode::from_raw_mode(0o755)),
        };
        match made {
            Ok(()) => done = next,
            Err(Errno::EXIST) => {
                let link = match readlinkat(&parent, *name, Vec::new()) {
                    // Somebody else has made it, or taken the link away: to be looked at once more.
                    Err(Errno::INVAL | Errno::NOENT) => return Ok(Made::Done),
                    other => other.step_at("make in the container's root", next.display())?,
                };
                let link = PathBuf::from(OsString::from_vec(link.into_bytes()));
                let rest: PathBuf = parts[index + 1..].iter().collect();
                let followed = done.join(link);
                return Ok(Made::Link(if rest.as_os_str().is_empty() { followed } else { followed.join(rest) }));
            }
            Err(error) => return Err(Error::failed(format!("make {} in the container's root", next.display()), error)),
        }
    }
    Ok(Made::Done)
}

/// Whether a descriptor's file system has this magic number.
pub(crate) fn is_fs(fd: impl AsFd, magic: u32) -> bool {
    rustix::fs::fstatfs(fd).is_ok_and(|s| s.f_type as u32 == magic)
}

/// procfs.
pub(crate) const PROC_MAGIC: u32 = 0x9fa0;
/// devpts.
pub(crate) const DEVPTS_MAGIC: u32 = 0x1cd1;

/// A path of the host.
pub(crate) fn open_host(path: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_never_lead_out_and_dangling_ones_are_made_inside() {
        let dir = tempfile::tempdir().unwrap();
        symlink("/../../../../outside", dir.path().join("etc")).unwrap();
        let root = open_host(dir.path()).unwrap();
        let anywhere: MayMake<'_> = &|_| Ok(true);
        target(root.as_fd(), Path::new("/etc/resolv.conf"), Target::File, anywhere).unwrap().unwrap();
        assert!(dir.path().join("outside/resolv.conf").is_file());
        assert!(!Path::new("/outside").exists());
        symlink("loop", dir.path().join("loop")).unwrap();
        assert!(target(root.as_fd(), Path::new("/loop/x"), Target::Dir, anywhere).is_err());
        assert!(target(root.as_fd(), Path::new("/new/x"), Target::Dir, &|_| Ok(false)).unwrap().is_none());
        assert!(!dir.path().join("new").exists());
    }
}
