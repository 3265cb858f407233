//! The root of a container while it is built, and which of the mounts in it are the container's own.
//!
//! A volume may be shared with another container, which renames, links and removes in it while this one is set up; and
//! it may be a directory of the node. So nothing is removed in it, and nothing but empty mount points is made, each by
//! its name in a directory that is held open. In the node's `/dev`, and in what is mounted at the container's, not even
//! these: there things are mounted on what exists.

use std::cell::RefCell;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use oci_spec::runtime::Spec;
use rustix::fs::{AtFlags, StatxFlags, fstat, stat, statx};

use crate::Error;
use crate::error::Step;
use crate::options::Options;
use crate::resolve::{self, Target};

const DEV: &str = "/dev";

/// See there.
pub(crate) struct View<'a> {
    /// The container's root, attached.
    pub root: BorrowedFd<'a>,
    /// Mounts that nobody else sees, by the kernel's id: the root, and the file systems made for it.
    own: RefCell<Vec<u64>>,
    /// Mounts of volumes below `/dev`: the pod's `/dev/shm`, whatever is at `/dev` itself.
    below_dev: RefCell<Vec<u64>>,
    /// Where volumes are mounted that share what is mounted in them with the node.
    shared: Vec<PathBuf>,
    /// The node's `/dev`, if that is a file system of its own.
    node_dev: Option<u64>,
}

impl<'a> View<'a> {
    /// Of a root that is attached. The root of this process is still the node's.
    pub fn new(root: BorrowedFd<'a>, spec: &Spec) -> Result<Self, Error> {
        let of_node = |path: &str| stat(path).step_at("look at the node's", path).map(|s| s.st_dev);
        let (dev, top) = (of_node(DEV)?, of_node("/")?);
        let mut shared = Vec::new();
        for mount in spec.mounts().iter().flatten() {
            if Options::of(mount)?.shared() {
                shared.push(Path::new("/").join(mount.destination()));
            }
        }
        let view = View {
            root,
            own: RefCell::default(),
            below_dev: RefCell::default(),
            shared,
            node_dev: (dev != top).then_some(dev),
        };
        view.adopt(root)?;
        Ok(view)
    }

    /// A mount that was made for this container.
    pub fn adopt(&self, mount: impl AsFd) -> Result<(), Error> {
        let id = mount_id(mount)?;
        self.own.borrow_mut().push(id);
        Ok(())
    }

    /// A volume that was mounted.
    pub fn add_volume(&self, mount: impl AsFd, at: &Path) -> Result<(), Error> {
        if at.starts_with(DEV) && at != Path::new(DEV) {
            let id = mount_id(mount)?;
            self.below_dev.borrow_mut().push(id);
        }
        Ok(())
    }

    /// Whether a file lies in a mount of the container's own.
    pub fn is_own(&self, fd: impl AsFd) -> Result<bool, Error> {
        Ok(self.own.borrow().contains(&mount_id(fd)?))
    }

    /// Whether what is mounted at this path would be mounted on the node as well.
    pub fn is_shared(&self, path: &Path) -> bool {
        self.shared.iter().any(|volume| path.starts_with(volume))
    }

    /// Opens (O_PATH) a mount's target, and makes it where it is missing. `None`: it is missing where nothing is made.
    pub fn find(&self, path: &Path, kind: Target) -> Result<Option<OwnedFd>, Error> {
        let may_make = |parent: BorrowedFd<'_>| {
            if self.is_own(parent)? {
                return Ok(true);
            }
            let device = fstat(parent).step("look at a directory of the container")?.st_dev;
            let elsewhere = !path.starts_with(DEV) || self.below_dev.borrow().contains(&mount_id(parent)?);
            Ok(elsewhere && self.node_dev != Some(device))
        };
        resolve::target(self.root, path, kind, &may_make)
    }

    /// The same, where a missing one is an error of the spec's `field`.
    pub fn target(&self, path: &Path, kind: Target, field: &str) -> Result<OwnedFd, Error> {
        self.find(path, kind)?.ok_or_else(|| missing(field, path))
    }

    /// The same for a file system that the spec mounts by itself; `None` also where a volume has no place for it.
    pub fn place_for_own(&self, path: &Path) -> Result<Option<OwnedFd>, Error> {
        resolve::target(self.root, path, Target::Dir, &|parent| self.is_own(parent))
    }
}

/// What is to be mounted in a volume that has no place for it.
pub(crate) fn missing(field: &str, path: &Path) -> Error {
    let reason =
        format!("{} does not exist in the volume that is mounted above it, and is not made there", path.display());
    Error::refused(field, reason)
}

fn mount_id(fd: impl AsFd) -> Result<u64, Error> {
    let found = statx(fd, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).step("ask for a mount's id")?;
    if found.stx_mask & StatxFlags::MNT_ID.bits() == 0 {
        return Err(Error::failed("ask for a mount's id", "this kernel does not tell it (Linux 5.8 does)"));
    }
    Ok(found.stx_mnt_id)
}
