//! The share of a pod: made, filled, emptied.
//!
//! It is a tmpfs of its own, which the guest cannot write to; so the host may go by names in it. Everything below is a
//! mount that the guest may write to, and the host never enters: mounts are placed on the tmpfs only, with
//! `nosymfollow`, and removed without a look inside.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use cofferdam_sandbox::{ContainerRootfs, SandboxError};
use cofferdam_sys::mount::{Attributes, NODEV, NOSUID, NOSYMFOLLOW, RDONLY, set_attributes};
use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, open};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags,
    UnmountFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen, mount, mount_change, move_mount, open_tree,
    unmount,
};

use crate::plan::{Bind, ReadOnly, StagePlan};

/// MS_PRIVATE, MS_SLAVE
const PRIVATE: u64 = 1 << 18;
const SLAVE: u64 = 1 << 19;

/// fsconfig takes strings below this length.
const STRING_MAX: usize = 255;

/// Flags of every mount in the share.
const SAFE: u64 = NOSUID | NODEV | NOSYMFOLLOW;

fn failed(what: &str, path: &Path) -> impl Fn(io::Error) -> SandboxError {
    let step = format!("{what} {}", path.display());
    move |error| SandboxError::failed(step.clone(), error)
}

/// Makes it.
pub fn make(share: &Path) -> Result<(), SandboxError> {
    let make = || -> io::Result<()> {
        DirBuilder::new().mode(0o755).recursive(true).create(share)?;
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        mount("share", share, "tmpfs", flags, c"size=1m,nr_inodes=8192,mode=0755")?;
        // Whatever its parent is: what is mounted here later must reach the file server.
        mount_change(share, MountPropagationFlags::SHARED)?;
        Ok(())
    };
    make().map_err(failed("make the share", share))
}

/// Unmounts it with all in it. Idempotent.
pub fn remove(share: &Path) -> Result<(), SandboxError> {
    let remove = || -> io::Result<()> {
        while unmount_one(share)? {}
        match fs::remove_dir(share) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    };
    remove().map_err(failed("remove the share", share))
}

// Lazily: the file server may still hold what the guest has cached. Its end, or the guest's forgetting, ends the mount.
fn unmount_one(path: &Path) -> io::Result<bool> {
    match unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
        Ok(()) => Ok(true),
        Err(Errno::INVAL | Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Carries out a plan. On error nothing of it is left.
pub fn stage(share: &Path, plan: &StagePlan) -> Result<(), SandboxError> {
    let dir = share.join(&plan.dir);
    let made = (|| {
        fs::create_dir(&dir).map_err(failed("make", &dir))?;
        let root = overlay(&plan.overlay)
            .map_err(|error| failed("mount the root file system from", &plan.overlay.upper)(error.into()))?;
        attach(&root, Attributes { set: SAFE, ..Attributes::default() }, false, &share.join(&plan.rootfs), true)
            .map_err(failed("place the root file system at", &dir))?;
        plan.binds.iter().try_for_each(|bind| place(share, bind).map_err(failed("mount", &bind.mount.host)))
    })();
    made.inspect_err(|_| {
        if let Err(error) = release(share, &plan.dir) {
            tracing::warn!(%error, "undoing a container's mounts");
        }
    })
}

/// Undoes it: one level of names on the tmpfs, never what is mounted there. Idempotent.
pub fn release(share: &Path, container: &Path) -> Result<(), SandboxError> {
    let dir = share.join(container);
    let release = || -> io::Result<()> {
        let entries = match fs::read_dir(&dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        for entry in entries {
            let path = entry?.path();
            while unmount_one(&path)? {}
            // EBUSY, were it still mounted.
            if fs::symlink_metadata(&path)?.is_dir() { fs::remove_dir(&path)? } else { fs::remove_file(&path)? }
        }
        fs::remove_dir(&dir)
    };
    release().map_err(failed("release", &dir))
}

fn place(share: &Path, bind: &Bind) -> io::Result<()> {
    let recursive = if bind.recursive { OpenTreeFlags::AT_RECURSIVE } else { OpenTreeFlags::empty() };
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | recursive;
    let tree = open_tree(CWD, &bind.mount.host, flags)?;
    // Of what was opened, not of what has its name now.
    let directory = FileType::from_raw_mode(fstat(&tree)?.st_mode) == FileType::Directory;
    let propagation = if bind.slave { SLAVE } else { PRIVATE };
    set_attributes(tree.as_fd(), Attributes { set: SAFE, propagation, ..Attributes::default() }, bind.recursive)?;
    let set = if bind.read_only == ReadOnly::No { 0 } else { RDONLY };
    let attributes = Attributes { set, ..Attributes::default() };
    attach(&tree, attributes, bind.read_only == ReadOnly::Recursive, &share.join(&bind.mount.share), directory)
}

fn attach(tree: &OwnedFd, attributes: Attributes, recursive: bool, at: &Path, directory: bool) -> io::Result<()> {
    set_attributes(tree.as_fd(), attributes, recursive)?;
    if directory {
        fs::create_dir(at)?;
    } else {
        fs::File::create_new(at)?;
    }
    Ok(move_mount(tree, "", CWD, at, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
}

fn overlay(rootfs: &ContainerRootfs) -> Result<OwnedFd, Errno> {
    let mut kept = Vec::new();
    let mut short = |path: &Path| -> Result<PathBuf, Errno> {
        if path.as_os_str().len() < STRING_MAX {
            return Ok(path.to_owned());
        }
        let fd = open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let short = PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()));
        kept.push(fd);
        Ok(short)
    };
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "source", "overlay")?;
    let lower: Vec<PathBuf> = rootfs.lower.iter().map(|layer| short(layer)).collect::<Result<_, _>>()?;
    for layer in &lower {
        match fsconfig_set_string(&context, "lowerdir+", layer) {
            // Before Linux 6.8: all in one string.
            Err(Errno::INVAL) => {
                fsconfig_set_string(&context, "lowerdir", joined(&lower))?;
                break;
            }
            other => other?,
        }
    }
    fsconfig_set_string(&context, "upperdir", short(&rootfs.upper)?)?;
    fsconfig_set_string(&context, "workdir", short(&rootfs.work)?)?;
    fsconfig_create(&context)?;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
}

fn joined(lower: &[PathBuf]) -> String {
    let escape = |path: &PathBuf| path.to_string_lossy().replace('\\', "\\\\").replace(':', "\\:").replace(',', "\\,");
    lower.iter().map(escape).collect::<Vec<_>>().join(":")
}
