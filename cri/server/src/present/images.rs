//! Images, as CRI's messages.

use std::path::Path;

use cofferdam_cri_api::v1 as cri;

use super::stats::value;
use crate::clock::now;
use crate::images::{DiskUsage, StoredImage};

/// An image, and the `USER` of its config. The user is told as a number or as a name: kubelet checks runAsNonRoot by
/// it.
pub(crate) fn item(image: &StoredImage, user: &str) -> cri::Image {
    let user = user.split(':').next().unwrap_or_default();
    let uid = if user.is_empty() { Some(0) } else { user.parse().ok() };
    cri::Image {
        id: image.id.clone(),
        repo_tags: image.repo_tags.clone(),
        repo_digests: image.repo_digests.clone(),
        size: image.size,
        uid: uid.map(|value| cri::Int64Value { value }),
        username: if uid.is_none() { user.to_owned() } else { String::new() },
        spec: Some(cri::ImageSpec { image: image.id.clone(), ..Default::default() }),
        pinned: image.pinned,
    }
}

/// What files on the file system of `root` take; `None`: not known.
pub(crate) fn disk_usage(root: &Path, usage: Option<DiskUsage>) -> cri::FilesystemUsage {
    cri::FilesystemUsage {
        timestamp: now(),
        fs_id: Some(cri::FilesystemIdentifier { mountpoint: root.to_string_lossy().into_owned() }),
        used_bytes: value(usage.map(|u| u.bytes)),
        inodes_used: value(usage.map(|u| u.inodes)),
    }
}
