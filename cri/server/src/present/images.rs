//! Images, as CRI's messages.

use std::path::Path;

use cofferdam_cri_api::v1 as cri;

use super::stats::value;
use crate::clock::now;
use crate::images::{DiskUsage, StoredImage};
use crate::spec::ids;

/// An image, and the `USER` of its config. The user is told as a number or as a name, and not at all where the image
/// names none: kubelet checks runAsNonRoot by it. A number that is no id is a name that nobody has.
pub(crate) fn item(image: &StoredImage, user: &str) -> cri::Image {
    let user = user.split(':').next().unwrap_or_default();
    let uid = user.parse().ok().filter(|uid| ids::valid(*uid));
    cri::Image {
        id: image.id.clone(),
        repo_tags: image.repo_tags.clone(),
        repo_digests: image.repo_digests.clone(),
        size: image.size,
        uid: uid.map(|value| cri::Int64Value { value }),
        username: if uid.is_none() { user.to_owned() } else { String::new() },
        spec: None,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_tells_the_user_that_it_names_and_no_other() {
        let image = StoredImage {
            id: "sha256:0".into(),
            repo_tags: Vec::new(),
            repo_digests: Vec::new(),
            size: 0,
            pinned: false,
        };
        let of = |user: &str| {
            let told = item(&image, user);
            (told.uid.map(|uid| uid.value), told.username)
        };
        assert_eq!(of(""), (None, String::new()));
        assert_eq!(of("0"), (Some(0), String::new()));
        assert_eq!(of("33:web"), (Some(33), String::new()));
        assert_eq!(of("www-data"), (None, "www-data".into()));
        assert_eq!(of("4294967295"), (None, "4294967295".into()));
    }
}
