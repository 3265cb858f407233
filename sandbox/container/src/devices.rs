//! /dev: the standard devices and those asked for.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::Path;

use oci_spec::runtime::{LinuxDevice, LinuxDeviceType};
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Uid, chownat, fstat, major, makedev, minor, mknodat, symlinkat,
    unlinkat,
};
use rustix::io::Errno;

use crate::Error;
use crate::error::Step;
use crate::place::{attach, device_path, host_device};
use crate::resolve::{Target, open_in, open_name};
use crate::view::{View, missing};

const FIELD: &str = "linux.devices";
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

impl<'a> Node<'a> {
    fn of(device: &'a LinuxDevice) -> Result<Self, Error> {
        let path = device.path();
        let bad = |why: &str| Error::refused(FIELD, format!("{}: {why}", path.display()));
        let kind = match device.typ() {
            LinuxDeviceType::B => FileType::BlockDevice,
            LinuxDeviceType::C | LinuxDeviceType::U => FileType::CharacterDevice,
            _ => return Err(bad("unknown type")),
        };
        let number = |n: i64| u32::try_from(n).map_err(|_| bad("bad number"));
        Ok(Node {
            path,
            kind,
            number: (number(device.major())?, number(device.minor())?),
            mode: device.file_mode().unwrap_or(0o666) & 0o777,
            owner: (device.uid().unwrap_or(0), device.gid().unwrap_or(0)),
        })
    }

    fn is(&self, fd: &OwnedFd) -> Result<bool, Error> {
        let found = fstat(fd).step_at("look at the device", self.path.display())?;
        let number = (major(found.st_rdev), minor(found.st_rdev));
        Ok(FileType::from_raw_mode(found.st_mode) == self.kind && number == self.number)
    }
}

/// Makes the nodes; in a user namespace, where none can be made, those of the node are bound. A volume at `/dev` stays
/// as it is, and devices that are asked for are mounted on what it has of that name.
pub(crate) fn make(view: &View<'_>, asked: &[LinuxDevice], user: bool) -> Result<(), Error> {
    let dev = open_in(view.root, Path::new("/dev"), OFlags::PATH | OFlags::DIRECTORY, ResolveFlags::NO_SYMLINKS)
        .step("open /dev")?;
    if view.is_own(&dev)? {
        let standard = STANDARD.map(|(name, major, minor)| (format!("/dev/{name}"), (major, minor)));
        for (path, number) in &standard {
            let path = Path::new(path);
            if !asked.iter().any(|d| d.path() == path) {
                let kind = FileType::CharacterDevice;
                node(view, &Node { path, kind, number: *number, mode: 0o666, owner: (0, 0) }, user)?;
            }
        }
        for (name, to) in LINKS {
            match symlinkat(to, &dev, name) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(Error::failed(format!("make /dev/{name}"), error)),
            }
        }
    }
    asked.iter().try_for_each(|device| node(view, &Node::of(device)?, user))
}

fn node(view: &View<'_>, node: &Node<'_>, user: bool) -> Result<(), Error> {
    let (Some(parent), Some(name)) = (node.path.parent(), node.path.file_name()) else {
        return Err(Error::refused(FIELD, format!("{} is not a path", node.path.display())));
    };
    let dir = view.target(parent, Target::Dir, FIELD)?;
    if !view.is_own(&dir)? {
        return match open_name(&dir, name) {
            Err(Errno::NOENT) => Err(missing(FIELD, node.path)),
            other => cover(view, node, other.step_at("open", node.path.display())?),
        };
    }
    if user {
        return attach(of_host(node)?, view.target(node.path, Target::File, FIELD)?, node.path);
    }
    in_own(view, node, &dir, name)
}

/// The device of the node, as a mount.
fn of_host(node: &Node<'_>) -> Result<OwnedFd, Error> {
    let block = node.kind == FileType::BlockDevice;
    host_device(&device_path(block, node.number.0, node.number.1, node.path), node.number)
}

/// In a mount that nobody else sees. The umask is 0, so the mode is right from the start.
fn in_own(view: &View<'_>, node: &Node<'_>, dir: &OwnedFd, name: &OsStr) -> Result<(), Error> {
    let what = node.path.display();
    let make = || mknodat(dir, name, node.kind, Mode::from_raw_mode(node.mode), makedev(node.number.0, node.number.1));
    if let Err(error) = make() {
        if error != Errno::EXIST {
            return Err(error).step_at("make the device", what);
        }
        let there = open_name(dir, name).step_at("open", &what)?;
        if !view.is_own(&there)? {
            // A volume is mounted there.
            return cover(view, node, there);
        }
        unlinkat(dir, name, AtFlags::empty()).step_at("replace", &what)?;
        make().step_at("make the device", &what)?;
    }
    if node.owner != (0, 0) {
        let made = open_name(dir, name).step_at("open", &what)?;
        if !node.is(&made)? {
            return Err(Error::failed(format!("make the device {what}"), "somebody else has replaced it"));
        }
        let (uid, gid) = (Uid::from_raw(node.owner.0), Gid::from_raw(node.owner.1));
        chownat(&made, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH).step("set the owner of a device")?;
    }
    Ok(())
}

/// In a volume: nothing to do where it has the device, else mounted over what it has.
fn cover(view: &View<'_>, node: &Node<'_>, there: OwnedFd) -> Result<(), Error> {
    if node.is(&there)? {
        return Ok(());
    }
    let refuse = |why: &str| Err(Error::refused(FIELD, format!("{} {why}", node.path.display())));
    let kind = FileType::from_raw_mode(fstat(&there).step_at("look at", node.path.display())?.st_mode);
    if kind == FileType::Directory || kind == FileType::Symlink {
        return refuse("is a directory or a link in the volume that is mounted above it");
    }
    if view.is_shared(node.path) {
        return refuse("is another file in a volume that shares its mounts with the node");
    }
    attach(of_host(node)?, there, node.path)
}
