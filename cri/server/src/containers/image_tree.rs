//! The layers of an image as one tree that no path leads to.

use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::path::PathBuf;

use cofferdam_sandbox::ContainerRootfs;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen};

/// How many layers one overlay takes before Linux 6.8, where all are named in one string of at most 255 bytes:
/// `/proc/self/fd/NNNNN` and a colon each.
const IN_ONE_STRING: usize = 12;

/// The layers as one read-only, detached overlay. Layers are opened first, so that neither the length of a path nor
/// what is in its name counts.
pub(super) fn mount_image(rootfs: &ContainerRootfs) -> std::io::Result<OwnedFd> {
    let open =
        |path: &PathBuf| rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let layers = rootfs.lower.iter().map(open).collect::<Result<Vec<OwnedFd>, Errno>>()?;
    Ok(joined(layers)?)
}

fn joined(layers: Vec<OwnedFd>) -> Result<OwnedFd, Errno> {
    // An overlay wants two lower directories or an upper one.
    if layers.len() < 2 {
        return layers.into_iter().next().ok_or(Errno::NOENT);
    }
    match overlay(&layers, one_by_one) {
        Err(Errno::INVAL) => nested(&layers),
        done => done,
    }
}

/// Before Linux 6.8: an overlay of overlays, which may be two deep; so at most [`IN_ONE_STRING`] times as many layers.
fn nested(layers: &[OwnedFd]) -> Result<OwnedFd, Errno> {
    if layers.len() <= IN_ONE_STRING {
        return overlay(layers, in_one_string);
    }
    if layers.len() > IN_ONE_STRING * IN_ONE_STRING {
        return Err(Errno::TOOBIG);
    }
    let parts = layers.chunks(IN_ONE_STRING).map(|part| match part {
        [only] => only.try_clone().map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO)),
        part => overlay(part, in_one_string),
    });
    let parts = parts.collect::<Result<Vec<_>, _>>()?;
    overlay(&parts, in_one_string)
}

fn overlay(layers: &[OwnedFd], name: impl Fn(&OwnedFd, &[OwnedFd]) -> Result<(), Errno>) -> Result<OwnedFd, Errno> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    name(&context, layers)?;
    fsconfig_create(context.as_fd())?;
    let attributes =
        MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOSUID;
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// Linux 6.8 and later.
fn one_by_one(context: &OwnedFd, layers: &[OwnedFd]) -> Result<(), Errno> {
    layers.iter().try_for_each(|layer| fsconfig_set_string(context, "lowerdir+", short(layer)))
}

fn in_one_string(context: &OwnedFd, layers: &[OwnedFd]) -> Result<(), Errno> {
    let all: Vec<String> = layers.iter().map(short).collect();
    fsconfig_set_string(context, "lowerdir", all.join(":"))
}

fn short(layer: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", layer.as_raw_fd())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use cofferdam_test_support::needs;
    use rustix::fs::openat;

    use super::*;

    #[needs(root)]
    #[test]
    fn many_layers_become_one_tree_with_and_without_the_newer_option() {
        let dir = tempfile::tempdir().unwrap();
        let layers: Vec<PathBuf> = (0..37).map(|number| dir.path().join(format!("l:{number},"))).collect();
        for (number, layer) in layers.iter().enumerate() {
            fs::create_dir(layer).unwrap();
            fs::write(layer.join(format!("file-{number}")), "").unwrap();
            fs::write(layer.join("all"), number.to_string()).unwrap();
        }
        let open = |path: &PathBuf| rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
        // 37 leaves one layer alone.
        let opened = || layers.iter().map(open).collect::<Vec<_>>();
        for tree in [joined(opened()).unwrap(), nested(&opened()).unwrap()] {
            for number in 0..37 {
                openat(&tree, format!("file-{number}"), OFlags::RDONLY, Mode::empty()).unwrap();
            }
            let path = format!("/proc/self/fd/{}/all", tree.as_raw_fd());
            assert_eq!(fs::read_to_string(path).unwrap(), "0", "the first layer is the upper one");
        }
        let many = (0..=IN_ONE_STRING * IN_ONE_STRING).map(|_| open(&layers[0])).collect::<Vec<_>>();
        assert_eq!(nested(&many).unwrap_err(), Errno::TOOBIG);
    }
}
