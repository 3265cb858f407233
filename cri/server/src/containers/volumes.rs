//! Volumes of a container: those that its image declares, and sources of mounts that do not exist yet.

use std::fs::{DirBuilder, File};
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use cofferdam_cri_api::v1 as cri;
use cofferdam_sandbox::ContainerRootfs;
use cofferdam_tree::Copied;
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;

use super::image_tree::mount_image;
use crate::error::Error;
use crate::files::blocking;

/// Each is a directory and a mount.
const MOST: usize = 1000;
/// What all volumes of a container get from its image: names in an image can stand for one directory many times over,
/// and hard links for one file, so that the image's own size is no bound.
const MOST_CONTENT: Copied = Copied { bytes: 2 << 30, inodes: 200_000 };

/// Makes the anonymous volumes below `dir`, numbered in the order of `volumes`, each with what the image has at its
/// place: content, owner and mode (as Docker and containerd do). A source of a mount that does not exist is made a
/// directory.
pub(super) async fn make_volumes(
    dir: PathBuf,
    volumes: Vec<String>,
    rootfs: ContainerRootfs,
    config: &cri::ContainerConfig,
    sources: Vec<PathBuf>,
) -> Result<(), Error> {
    if volumes.len() > MOST {
        let text = format!("image.config.Volumes: has {} volumes, at most {MOST} are supported", volumes.len());
        return Err(Error::Invalid(text));
    }
    let covered: Vec<PathBuf> = config.mounts.iter().map(|m| PathBuf::from(&m.container_path)).collect();
    // A source may be on a server that does not answer.
    blocking(move || {
        sources.iter().filter(|path| !path.exists()).try_for_each(|path| make(path))?;
        let (mut image, mut room) = (None, MOST_CONTENT);
        for (number, volume) in volumes.iter().enumerate() {
            let target = dir.join(number.to_string());
            make(&target)?;
            // Nobody sees what a mount of the request covers.
            if !covered.iter().any(|path| path == Path::new(volume)) {
                let root = match &image {
                    Some(root) => root,
                    None => image.insert(mount_image(&rootfs).map_err(|e| failed(&target, e))?),
                };
                let copied = fill(root, volume, &target, room).map_err(|e| content(volume, e))?;
                room.bytes = room.bytes.saturating_sub(copied.bytes);
                room.inodes = room.inodes.saturating_sub(copied.inodes);
            }
        }
        Ok(())
    })
    .await
}

fn fill(image: &impl AsFd, volume: &str, target: &Path, room: Copied) -> std::io::Result<Copied> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let path = Path::new("/").join(volume);
    match openat2(image, &path, flags, Mode::empty(), resolve) {
        Ok(from) => cofferdam_tree::copy(from.as_fd(), File::open(target)?.as_fd(), room),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(Copied::default()),
        Err(error) => Err(error.into()),
    }
}

fn make(path: &Path) -> Result<(), Error> {
    DirBuilder::new().recursive(true).mode(0o755).create(path).map_err(|e| failed(path, e))
}

fn content(volume: &str, error: std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::QuotaExceeded => {
            let Copied { bytes, inodes } = MOST_CONTENT;
            let text = format!("has more content than {bytes} bytes or {inodes} files, with the volumes before it");
            Error::Exhausted(format!("image.config.Volumes: {volume:?} {text}"))
        }
        _ => Error::Internal(format!("image.config.Volumes: {volume:?}: {error}")),
    }
}

fn failed(path: &Path, error: std::io::Error) -> Error {
    Error::Internal(format!("make {}: {error}", path.display()))
}
