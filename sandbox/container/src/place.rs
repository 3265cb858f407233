//! Mounts placed inside a root: every target is opened within it, every mount moved by descriptor.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use cofferdam_sys::mount::{Attributes, set_attributes};
use oci_spec::runtime::{Mount, Spec};
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, mkdirat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};

use crate::Error;
use crate::cgroup::Hierarchies;
use crate::error::Step;
use crate::namespaces::read_only;
use crate::options::Options;
use crate::resolve::{PROC_MAGIC, Target, is_fs, open_in, open_name};
use crate::view::{View, missing};

/// Files of procfs that other programs (lxcfs) may replace.
const PROC_FILES: [&str; 10] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/slabinfo",
    "/proc/net/dev",
    "/proc/sys/kernel/ns_last_pid",
];

/// What every container of kubelet's has in `/dev`, wished for or not: left out like the file systems there.
const IN_EVERY_DEV: [&str; 2] = ["/dev/shm", "/dev/termination-log"];

/// Attaches a mount at an opened target.
pub(crate) fn attach(tree: impl AsFd, at: impl AsFd, what: &Path) -> Result<(), Error> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(tree, "", at, "", flags).step_at("mount at", what.display())
}

/// One mount of the spec. File systems of the container's own are left out where a volume that is mounted above them
/// has no place for them: a volume at `/dev` without `mqueue`, as a node's may be.
pub(crate) fn mount(
    view: &View<'_>,
    mount: &Mount,
    source: Option<&OwnedFd>,
    hierarchies: &Hierarchies,
) -> Result<(), Error> {
    let options = Options::of(mount)?;
    let destination = Path::new("/").join(mount.destination());
    if destination.components().any(|c| c == Component::ParentDir) {
        return Err(Error::refused(format!("mounts[{}].destination", destination.display()), "holds .."));
    }
    if let Some(source) = source {
        return bind(view, &destination, source);
    }
    match mount.typ().as_deref().unwrap_or_default() {
        "cgroup" | "cgroup2" => cgroups(view, &destination, &options, hierarchies),
        kind @ ("proc" | "sysfs") => {
            // A link there would put them where the protection of their files does not look.
            let at = real_dir(view, &destination)?;
            let tree = new_fs(kind, &options.data, options.mount_flags())?;
            attach(&tree, at, &destination)?;
            view.adopt(tree)
        }
        kind @ ("tmpfs" | "devpts" | "mqueue" | "ramfs") => {
            let Some(at) = view.place_for_own(&destination)? else { return Ok(()) };
            let tree = new_fs(kind, &options.data, options.mount_flags())?;
            not_proc(&at, &destination)?;
            attach(&tree, at, &destination)?;
            view.adopt(tree)
        }
        kind => {
            Err(Error::refused(format!("mounts[{}].type", destination.display()), format!("{kind:?} is not supported")))
        }
    }
}

fn bind(view: &View<'_>, destination: &Path, source: &OwnedFd) -> Result<(), Error> {
    let dir = FileType::from_raw_mode(fstat(source).step("look at a mount's source")?.st_mode) == FileType::Directory;
    let at = match view.find(destination, if dir { Target::Dir } else { Target::File })? {
        Some(at) => at,
        None if IN_EVERY_DEV.iter().any(|path| destination == Path::new(path)) => return Ok(()),
        None => return Err(missing(&format!("mounts[{}]", destination.display()), destination)),
    };
    if destination == Path::new("/proc") {
        if !is_fs(source, PROC_MAGIC) {
            return Err(Error::refused("mounts[/proc]", "only procfs can be mounted there"));
        }
    } else {
        not_proc(&at, destination)?;
    }
    attach(source, at, destination)?;
    view.add_volume(source, destination)
}

/// Nothing is mounted over procfs, but for a few files.
fn not_proc(at: &OwnedFd, destination: &Path) -> Result<(), Error> {
    let known = PROC_FILES.iter().any(|file| destination == Path::new(file));
    if is_fs(at, PROC_MAGIC) && !known {
        return Err(Error::refused(format!("mounts[{}]", destination.display()), "lies inside /proc"));
    }
    Ok(())
}

/// A directory reached without links, made if missing.
fn real_dir(view: &View<'_>, path: &Path) -> Result<OwnedFd, Error> {
    drop(view.target(path, Target::Dir, &format!("mounts[{}]", path.display()))?);
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    match open_in(view.root, path, flags, ResolveFlags::NO_SYMLINKS) {
        Err(Errno::LOOP) => {
            Err(Error::refused(format!("mounts[{}]", path.display()), "is a symbolic link in the image"))
        }
        other => other.step_at("open in the container's root", path.display()),
    }
}

/// A new instance of a file system, attached nowhere.
pub(crate) fn new_fs(kind: &str, data: &[(String, Option<String>)], flags: u32) -> Result<OwnedFd, Error> {
    let make = || -> Result<OwnedFd, Errno> {
        let fs = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_set_string(&fs, "source", kind)?;
        for (key, value) in data {
            match value {
                // Instances of devpts are always new; the word is of older kernels.
                None if kind == "devpts" && key == "newinstance" => {}
                None => fsconfig_set_flag(&fs, key.as_str())?,
                Some(value) => fsconfig_set_string(&fs, key.as_str(), value.as_str())?,
            }
        }
        fsconfig_create(&fs)?;
        fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::from_bits_retain(flags))
    };
    make().step_at("make the file system", kind)
}

/// The container's own view of its cgroups: a cgroup namespace's root.
fn cgroups(view: &View<'_>, at: &Path, options: &Options, hierarchies: &Hierarchies) -> Result<(), Error> {
    let flags = options.mount_flags();
    let Some(place) = view.place_for_own(at)? else { return Ok(()) };
    not_proc(&place, at)?;
    if hierarchies.v2 {
        return attach(new_fs("cgroup2", &[], flags)?, place, at);
    }
    let data = [("mode".to_owned(), Some("755".to_owned()))];
    let tmpfs = new_fs("tmpfs", &data, flags & !1)?;
    attach(&tmpfs, place, at)?;
    view.adopt(&tmpfs)?;
    for hierarchy in &hierarchies.list {
        let name =
            hierarchy.controllers.iter().map(|c| c.strip_prefix("name=").unwrap_or(c)).collect::<Vec<_>>().join(",");
        let data: Vec<(String, Option<String>)> = hierarchy
            .controllers
            .iter()
            .map(|c| match c.split_once('=') {
                Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                None => (c.clone(), None),
            })
            .collect();
        mkdirat(&tmpfs, &name, Mode::from_raw_mode(0o755)).step_at("make the directory of the cgroups", &name)?;
        let dir = open_name(&tmpfs, name.as_ref()).step_at("open the directory of the cgroups", &name)?;
        attach(new_fs("cgroup", &data, flags)?, dir, &at.join(&name))?;
    }
    if flags & 1 != 0 {
        set_attributes(tmpfs.as_fd(), read_only(), false).step("make /sys/fs/cgroup read-only")?;
    }
    Ok(())
}

/// Paths of /proc are hidden below: it must be what it says.
pub(crate) fn verify_proc(root: BorrowedFd<'_>, spec: &Spec) -> Result<(), Error> {
    if !spec.mounts().iter().flatten().any(|m| m.typ().as_deref() == Some("proc")) {
        return Ok(());
    }
    let proc = open_in(root, Path::new("/proc"), OFlags::PATH, ResolveFlags::NO_SYMLINKS).step("open /proc")?;
    if is_fs(&proc, PROC_MAGIC) { Ok(()) } else { Err(Error::failed("verify /proc", "it is not procfs")) }
}

/// Makes a path read-only, by a mount of itself.
pub(crate) fn protect(root: BorrowedFd<'_>, path: &Path) -> Result<(), Error> {
    let at = match open_in(root, path, OFlags::PATH, ResolveFlags::empty()) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
        other => other.step_at("protect", path.display())?,
    };
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | OpenTreeFlags::AT_RECURSIVE;
    let tree = open_tree(&at, "", flags).step_at("protect", path.display())?;
    set_attributes(tree.as_fd(), read_only(), true).step_at("protect", path.display())?;
    attach(tree, at, path)
}

/// Hides a path: a file behind /dev/null, a directory behind an empty one.
pub(crate) fn mask(root: BorrowedFd<'_>, path: &Path) -> Result<(), Error> {
    let at = match open_in(root, path, OFlags::PATH, ResolveFlags::empty()) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
        other => other.step_at("mask", path.display())?,
    };
    let dir = FileType::from_raw_mode(fstat(&at).step_at("mask", path.display())?.st_mode) == FileType::Directory;
    let cover = if dir { new_fs("tmpfs", &[], 1)? } else { host_device(Path::new("/dev/null"), (1, 3))? };
    // It is the node's own device: nobody in the container is to change its mode or owner.
    set_attributes(cover.as_fd(), read_only(), false).step_at("mask", path.display())?;
    attach(cover, at, path)
}

/// A device of the node as a mount, checked to be that device. The root is the node's until `pivot_here`.
pub(crate) fn host_device(path: &Path, number: (u32, u32)) -> Result<OwnedFd, Error> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = open_tree(CWD, path, flags).step_at("open the device", path.display())?;
    let device = fstat(&tree).step_at("look at the device", path.display())?.st_rdev;
    if (rustix::fs::major(device), rustix::fs::minor(device)) != number {
        return Err(Error::failed(format!("open the device {}", path.display()), "the node has another one there"));
    }
    let attributes = Attributes { propagation: crate::options::PRIVATE, ..Attributes::default() };
    set_attributes(tree.as_fd(), attributes, false).step_at("open the device", path.display())?;
    Ok(tree)
}

/// The path of a node device by its number, as udev and the kernel name them.
pub(crate) fn device_path(block: bool, major: u32, minor: u32, asked: &Path) -> PathBuf {
    let link = format!("/sys/dev/{}/{major}:{minor}", if block { "block" } else { "char" });
    let uevent = std::fs::read_to_string(format!("{link}/uevent")).unwrap_or_default();
    let name = uevent.lines().find_map(|l| l.strip_prefix("DEVNAME="));
    name.map_or_else(|| asked.to_owned(), |name| Path::new("/dev").join(name))
}
