//! The root directory of a process of the VMM: a tmpfs with a few mounts, all else is gone.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use cofferdam_sys::mount::{Attributes, NODEV, NOSUID, NOSYMFOLLOW, RDONLY, set_attributes};
use rustix::fs::{CWD, Mode, OFlags, open};
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount, mount_change, move_mount,
    open_tree, unmount,
};
use rustix::process::{chdir, pivot_root};

/// MS_PRIVATE
const PRIVATE: u64 = 1 << 18;

/// What a process sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Root {
    pub(crate) mounts: Vec<Bind>,
    /// A procfs of its own PID namespace.
    pub(crate) proc: bool,
}

/// One mount from the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bind {
    pub(crate) from: PathBuf,
    /// Relative to the root.
    pub(crate) to: PathBuf,
    pub(crate) kind: BindKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BindKind {
    /// Nothing in it can be changed, and later mounts of the host do not arrive.
    ReadOnly,
    /// A device node.
    Device,
    /// The share: its own level is read-only, what is mounted in it is as it is mounted, and later mounts arrive.
    Share,
}

impl Root {
    /// The top-level directories that a program and its libraries lie in.
    pub(crate) fn of_program(program: &Path) -> Self {
        let mut tops = vec![PathBuf::from("usr"), PathBuf::from("lib"), PathBuf::from("lib64")];
        let own = program.components().find_map(|part| match part {
            Component::Normal(name) => Some(PathBuf::from(name)),
            _ => None,
        });
        tops.extend(own.filter(|top| !["usr", "lib", "lib64"].iter().any(|known| top == Path::new(known))));
        let mounts =
            tops.into_iter().map(|top| Bind { from: Path::new("/").join(&top), to: top, kind: BindKind::ReadOnly });
        Root { mounts: mounts.collect(), proc: false }
    }

    pub(crate) fn with(mut self, from: &Path, to: &str, kind: BindKind) -> Self {
        self.mounts.push(Bind { from: from.to_owned(), to: to.into(), kind });
        self
    }

    /// Makes it over a directory and moves into it. In a child that is root in a PID and a mount namespace of its own.
    pub(crate) fn enter(&self, at: &Path) -> io::Result<()> {
        let named = |what: &Path| {
            let what = what.display().to_string();
            move |error: io::Error| io::Error::new(error.kind(), format!("{what}: {error}"))
        };
        mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
        let mut clones = Vec::new();
        for bind in &self.mounts {
            if let Some(what) = clone(bind).map_err(named(&bind.from))? {
                clones.push((bind, what));
            }
        }
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        mount("root", at, "tmpfs", flags, c"size=64k,nr_inodes=64,mode=0755")?;
        for (bind, what) in &clones {
            place(what, &at.join(&bind.to)).map_err(named(&bind.to))?;
        }
        if self.proc {
            fs::create_dir(at.join("proc"))?;
            mount("proc", at.join("proc"), "proc", flags, None)?;
        }
        let root = open(at, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        set_attributes(root.as_fd(), Attributes { set: RDONLY, ..Attributes::default() }, false)?;
        chdir(at)?;
        pivot_root(".", ".")?;
        // The old root lies over the new one: the topmost is taken off.
        unmount(".", UnmountFlags::DETACH)?;
        Ok(chdir("/")?)
    }
}

enum What {
    Mount(OwnedFd, bool),
    Link(PathBuf),
}

// `/lib` is a link on most systems; what is missing altogether the program does not need.
fn clone(bind: &Bind) -> io::Result<Option<What>> {
    let found = match fs::symlink_metadata(&bind.from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && bind.from.components().count() == 2 => {
            return Ok(None);
        }
        other => other?,
    };
    if found.is_symlink() && bind.from.components().count() == 2 {
        return Ok(Some(What::Link(fs::read_link(&bind.from)?)));
    }
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    let tree = open_tree(CWD, &bind.from, flags)?;
    let (set, propagation, recursive) = match bind.kind {
        BindKind::ReadOnly => (RDONLY | NOSUID | NODEV, PRIVATE, true),
        BindKind::Device => (NOSUID, PRIVATE, false),
        BindKind::Share => (RDONLY | NOSUID | NODEV | NOSYMFOLLOW, 0, false),
    };
    set_attributes(tree.as_fd(), Attributes { set, propagation, ..Attributes::default() }, recursive)?;
    Ok(Some(What::Mount(tree, fs::metadata(&bind.from)?.is_dir())))
}

fn place(what: &What, target: &Path) -> io::Result<()> {
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent)?;
    }
    match what {
        What::Link(to) => std::os::unix::fs::symlink(to, target),
        What::Mount(tree, directory) => {
            if *directory {
                fs::create_dir(target)?;
            } else {
                fs::File::create_new(target)?;
            }
            Ok(move_mount(tree, "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_outside_of_usr_brings_its_directory() {
        let tops = |program: &str| {
            Root::of_program(Path::new(program)).mounts.into_iter().map(|bind| bind.from).collect::<Vec<_>>()
        };
        assert_eq!(tops("/usr/bin/qemu"), [PathBuf::from("/usr"), "/lib".into(), "/lib64".into()]);
        assert!(tops("/opt/qemu/bin/qemu").contains(&PathBuf::from("/opt")));
    }
}
