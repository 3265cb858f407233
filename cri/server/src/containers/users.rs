//! `/etc/passwd` and `/etc/group` of images, read once for each image.
//!
//! The layers are mounted as a detached, read-only overlay that no path leads to, and opened with `RESOLVE_IN_ROOT`, so
//! that a symlink in the image stays inside it.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};

use cofferdam_sandbox::ContainerRootfs;
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;

use super::image_tree::mount_image;
use crate::error::Error;
use crate::spec::user::UserFiles;

/// Larger files are not user databases.
const LARGEST: u64 = 4 << 20;

/// What was read, by image id.
#[derive(Default)]
pub(super) struct UserFilesCache(Mutex<HashMap<String, Arc<UserFiles>>>);

impl UserFilesCache {
    /// The files of an image whose layers are the lower directories of `rootfs`.
    pub fn of_image(&self, image: &str, rootfs: &ContainerRootfs) -> Result<Arc<UserFiles>, Error> {
        let cached = self.0.lock().unwrap_or_else(|p| p.into_inner()).get(image).cloned();
        if let Some(files) = cached {
            return Ok(files);
        }
        let failed = |e: std::io::Error| Error::Internal(format!("users of image {image}: {e}"));
        let root = mount_image(rootfs).map_err(failed)?;
        let files = Arc::new(UserFiles {
            passwd: read(&root, "etc/passwd").map_err(failed)?,
            group: read(&root, "etc/group").map_err(failed)?,
        });
        self.0.lock().unwrap_or_else(|p| p.into_inner()).insert(image.to_owned(), files.clone());
        Ok(files)
    }

    /// Drops what is known of an image that is gone.
    pub fn forget(&self, image: &str) {
        self.0.lock().unwrap_or_else(|p| p.into_inner()).remove(image);
    }
}

/// An absent file is empty; so is anything that is not a regular file.
fn read(root: &OwnedFd, path: &str) -> std::io::Result<String> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = match openat2(root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS) {
        Ok(fd) => File::from(fd),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO) => return Ok(String::new()),
        Err(error) => return Err(error.into()),
    };
    if !file.metadata()?.is_file() {
        return Ok(String::new());
    }
    let mut bytes = Vec::new();
    file.take(LARGEST).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
