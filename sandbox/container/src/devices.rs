//! /dev: the standard devices, those asked for, the terminal.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use cofferdam_sys::process::pty_peer;
use oci_spec::runtime::{LinuxDevice, LinuxDeviceType};
use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, ResolveFlags, Uid, chmodat, chownat, makedev, mknodat, symlinkat,
    unlinkat,
};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};

use crate::Error;
use crate::error::Step;
use crate::place::{attach, device_path, host_device};
use crate::resolve::{DEVPTS_MAGIC, Target, is_fs, open_in, target};

const STANDARD: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];
const LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

struct Node<'a> {
    path: &'a Path,
    kind: FileType,
    number: (u32, u32),
    mode: u32,
    owner: (u32, u32),
}

/// Makes the nodes; in a user namespace, where none can be made, those of the node are bound.
pub(crate) fn make(root: BorrowedFd<'_>, asked: &[LinuxDevice], user: bool) -> Result<(), Error> {
    let dev = open_in(root, Path::new("/dev"), OFlags::PATH | OFlags::DIRECTORY, ResolveFlags::NO_SYMLINKS)
        .step("open /dev")?;
    let standard = STANDARD.map(|(name, major, minor)| (format!("/dev/{name}"), major, minor));
    for (path, major, minor) in &standard {
        if asked.iter().any(|d| d.path() == Path::new(path)) {
            continue;
        }
        let number = (*major, *minor);
        node(
            root,
            &Node { path: Path::new(path), kind: FileType::CharacterDevice, number, mode: 0o666, owner: (0, 0) },
            user,
        )?;
    }
    for device in asked {
        let kind = match device.typ() {
            LinuxDeviceType::B => FileType::BlockDevice,
            LinuxDeviceType::C | LinuxDeviceType::U => FileType::CharacterDevice,
            _ => return Err(Error::refused("linux.devices", format!("{}: unknown type", device.path().display()))),
        };
        let number = |n: i64| {
            u32::try_from(n)
                .map_err(|_| Error::refused("linux.devices", format!("{}: bad number", device.path().display())))
        };
        let number = (number(device.major())?, number(device.minor())?);
        let owner = (device.uid().unwrap_or(0), device.gid().unwrap_or(0));
        node(
            root,
            &Node { path: device.path(), kind, number, mode: device.file_mode().unwrap_or(0o666) & 0o777, owner },
            user,
        )?;
    }
    for (name, to) in LINKS {
        match symlinkat(to, &dev, name) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(Error::failed(format!("make /dev/{name}"), error)),
        }
    }
    Ok(())
}

fn node(root: BorrowedFd<'_>, node: &Node<'_>, user: bool) -> Result<(), Error> {
    if user {
        let block = node.kind == FileType::BlockDevice;
        let host = device_path(block, node.number.0, node.number.1, node.path);
        let tree = host_device(&host, node.number)?;
        return attach(tree, target(root, node.path, Target::File)?, node.path);
    }
    let (Some(parent), Some(name)) = (node.path.parent(), node.path.file_name()) else {
        return Err(Error::refused("linux.devices", format!("{} is not a path", node.path.display())));
    };
    let dir = target(root, parent, Target::Dir)?;
    let what = node.path.display();
    let make = || mknodat(&dir, name, node.kind, Mode::from_raw_mode(node.mode), makedev(node.number.0, node.number.1));
    match make() {
        Err(Errno::EXIST) => {
            unlinkat(&dir, name, AtFlags::empty()).step_at("replace", what)?;
            make().step_at("make the device", node.path.display())?;
        }
        other => other.step_at("make the device", what)?,
    }
    if node.mode & 0o022 != 0 {
        chmodat(&dir, name, Mode::from_raw_mode(node.mode), AtFlags::empty()).step("set the mode of a device")?;
    }
    if node.owner != (0, 0) {
        let (uid, gid) = (Uid::from_raw(node.owner.0), Gid::from_raw(node.owner.1));
        chownat(&dir, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW).step("set the owner of a device")?;
    }
    Ok(())
}

/// A new terminal of the container's own devpts: slave and master. The slave is opened without a path.
pub(crate) fn terminal(root: BorrowedFd<'_>) -> Result<(OwnedFd, OwnedFd), Error> {
    let flags = OFlags::RDWR | OFlags::NOCTTY;
    let master = open_in(root, Path::new("/dev/pts/ptmx"), flags, ResolveFlags::NO_SYMLINKS).step("open a terminal")?;
    if !is_fs(&master, DEVPTS_MAGIC) {
        return Err(Error::failed("open a terminal", "/dev/pts is not devpts"));
    }
    rustix::pty::unlockpt(&master).step("unlock the terminal")?;
    let slave = pty_peer(master.as_fd()).step("open the terminal")?;
    Ok((slave, master))
}

/// /dev/console is the terminal.
pub(crate) fn console(root: BorrowedFd<'_>, slave: &OwnedFd) -> Result<(), Error> {
    let path = Path::new("/dev/console");
    let at = target(root, path, Target::File)?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    attach(open_tree(slave, "", flags).step("bind /dev/console")?, at, path)
}

/// The root of this process, once it is the container's.
pub(crate) fn own_root() -> Result<OwnedFd, Error> {
    rustix::fs::openat(CWD, "/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .step("open the root")
}
