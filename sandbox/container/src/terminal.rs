//! The terminal of a process: one of the container's own devpts, and `/dev/console`.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use cofferdam_sys::process::pty_peer;
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};

use crate::Error;
use crate::error::Step;
use crate::place::attach;
use crate::resolve::{DEVPTS_MAGIC, Target, is_fs, open_in};
use crate::view::View;

/// A new terminal of the container's own devpts: slave and master. The slave is opened without a path.
pub(crate) fn open(root: BorrowedFd<'_>) -> Result<(OwnedFd, OwnedFd), Error> {
    let flags = OFlags::RDWR | OFlags::NOCTTY;
    let master = open_in(root, Path::new("/dev/pts/ptmx"), flags, ResolveFlags::NO_SYMLINKS).step("open a terminal")?;
    if !is_fs(&master, DEVPTS_MAGIC) {
        return Err(Error::failed("open a terminal", "/dev/pts is not devpts"));
    }
    rustix::pty::unlockpt(&master).step("unlock the terminal")?;
    let slave = pty_peer(master.as_fd()).step("open the terminal")?;
    Ok((slave, master))
}

/// /dev/console is the terminal. In a volume at /dev only if it has such a file: nothing is made there, and no link is
/// followed, which another container may have put there.
pub(crate) fn console(view: &View<'_>, slave: &OwnedFd) -> Result<(), Error> {
    let path = Path::new("/dev/console");
    let dev = open_in(view.root, Path::new("/dev"), OFlags::PATH | OFlags::DIRECTORY, ResolveFlags::NO_SYMLINKS)
        .step("open /dev")?;
    let at = if view.is_own(&dev)? {
        view.target(path, Target::File, "/dev/console")?
    } else {
        match open_in(view.root, path, OFlags::PATH, ResolveFlags::NO_SYMLINKS) {
            Err(Errno::NOENT | Errno::LOOP) => return Ok(()),
            other => other.step("open /dev/console")?,
        }
    };
    let kind = FileType::from_raw_mode(fstat(&at).step("look at /dev/console")?.st_mode);
    if view.is_shared(path) || kind == FileType::Directory {
        return Ok(());
    }
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    attach(open_tree(slave, "", flags).step("bind /dev/console")?, at, path)
}

/// The root of this process, once it is the container's.
pub(crate) fn own_root() -> Result<OwnedFd, Error> {
    rustix::fs::openat(CWD, "/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .step("open the root")
}
