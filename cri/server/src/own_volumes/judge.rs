//! Whether what a mount leads to is the pod's own. Pure.
//!
//! kubelet keeps a pod's volumes below `ROOT/pods/UID/volumes`, as directories or as mounts, and binds the `subPath` of
//! any volume at `ROOT/pods/UID/volume-subpaths/VOLUME/CONTAINER/N`. A hostPath's too: there what is mounted may be any
//! directory of the node, whatever the name says. So names decide nothing. What counts is the file system and the place
//! in it, compared with the pod's own directory and with what is mounted at its volumes.

use std::path::Path;

use super::mounts::{Found, Mounted, Mounts, Place};

/// Whether a target, with all that is mounted below it, belongs to the pod whose directory is `pod`.
pub(super) fn own(target: &Found, pod: &Found, mounts: &Mounts) -> bool {
    let pods = Pod { dir: pod, mounts };
    let Some(place) = mounts.place(target) else { return false };
    let Some(mount) = mounts.of(target) else { return false };
    pods.has(mount, &place) && mounts.below(&target.path).all(|m| pods.has(m, &m.root))
}

struct Pod<'a> {
    dir: &'a Found,
    mounts: &'a Mounts,
}

impl Pod<'_> {
    /// Whether a place, reached by a mount, is in the pod's directory or in one of its volumes.
    fn has(&self, mount: &Mounted, place: &Place) -> bool {
        self.directory(mount, place) || self.volume(mount, place)
    }

    /// Below the pod's directory itself; where sub-paths are bound, only a volume counts.
    fn directory(&self, mount: &Mounted, place: &Place) -> bool {
        let (Some(own), Some(of_dir)) = (self.mounts.place(self.dir), self.mounts.of(self.dir)) else { return false };
        let below = place.device == own.device && below(&place.path, &own.path);
        let known = !mount.nameless || mount == of_dir;
        below && known && !place.path.starts_with(own.path.join("volume-subpaths"))
    }

    /// In a file system that is mounted at a volume of the pod, and there in the part that is mounted.
    fn volume(&self, mount: &Mounted, place: &Place) -> bool {
        let volumes = self.dir.path.join("volumes");
        self.mounts.below(&volumes).any(|volume| {
            let inside = volume.root.device == place.device && place.path.starts_with(&volume.root.path);
            inside && (!mount.nameless || mount == volume || self.alone(&place.device))
        })
    }

    /// Whether a file system is nowhere but in this pod: then it does not matter where in it something lies.
    fn alone(&self, device: &str) -> bool {
        self.mounts.of_device(device).all(|m| below(&m.point, &self.dir.path))
    }
}

fn below(path: &Path, dir: &Path) -> bool {
    path != dir && path.starts_with(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: &str = "/var/lib/kubelet/pods/u1";

    /// A node with a pod: a disk, a secret (tmpfs), a claim (a disk of its own, part of it) and one on NFS, and
    /// what kubelet has bound for sub-paths.
    const NODE: &str = "1 0 8:1 / / rw - ext4 d rw\n\
        2 1 0:50 / /var/lib/kubelet/pods/u1/volumes/kubernetes.io~secret/s rw - tmpfs t rw\n\
        3 1 8:16 /claim /var/lib/kubelet/pods/u1/volumes/kubernetes.io~csi/c/mount rw - ext4 e rw\n\
        4 1 0:60 / /var/lib/kubelet/pods/u1/volumes/kubernetes.io~nfs/n rw - nfs4 srv:/a rw\n\
        5 1 8:16 / /mnt/storage rw - ext4 e rw\n\
        10 1 8:1 /var/lib/kubelet/pods/u1/volumes/kubernetes.io~empty-dir/data/sub \
/var/lib/kubelet/pods/u1/volume-subpaths/data/web/0 rw - ext4 d rw\n\
        11 1 8:1 /etc /var/lib/kubelet/pods/u1/volume-subpaths/data/web/1 rw - ext4 d rw\n\
        12 1 0:50 /sub /var/lib/kubelet/pods/u1/volume-subpaths/s/web/0 rw - tmpfs t rw\n\
        13 1 8:16 /claim/sub /var/lib/kubelet/pods/u1/volume-subpaths/c/web/0 rw - ext4 e rw\n\
        14 1 8:16 /other /var/lib/kubelet/pods/u1/volume-subpaths/c/web/1 rw - ext4 e rw\n\
        15 1 0:60 / /var/lib/kubelet/pods/u1/volume-subpaths/n/web/0 rw - nfs4 srv:/a/sub rw\n";

    fn judged(mountinfo: &str, mount: u64, path: &str) -> bool {
        let mounts = Mounts::parse(mountinfo.as_bytes());
        own(&Found { mount, path: path.into() }, &Found { mount: 1, path: POD.into() }, &mounts)
    }

    fn in_pod(mount: u64, path: &str) -> bool {
        judged(NODE, mount, &format!("{POD}/{path}"))
    }

    #[test]
    fn volumes_and_files_of_the_pod_are_its_own_however_they_are_mounted() {
        assert!(in_pod(1, "volumes/kubernetes.io~empty-dir/data"));
        assert!(in_pod(1, "etc-hosts") && in_pod(1, "containers/web/1a2b"));
        assert!(in_pod(2, "volumes/kubernetes.io~secret/s") && in_pod(3, "volumes/kubernetes.io~csi/c/mount"));
        assert!(in_pod(4, "volumes/kubernetes.io~nfs/n"));
    }

    #[test]
    fn other_directories_of_the_node_are_not() {
        for path in ["/", "/etc", "/var/lib/kubelet", "/var/lib/kubelet/pods", POD, "/var/lib/kubelet/pods/u2/volumes"]
        {
            assert!(!judged(NODE, 1, path), "{path}");
        }
        assert!(!judged(NODE, 5, "/mnt/storage") && !judged(NODE, 5, "/mnt/storage/other"));
    }

    #[test]
    fn a_sub_path_is_what_is_mounted_there_not_what_it_is_called() {
        assert!(in_pod(10, "volume-subpaths/data/web/0") && in_pod(12, "volume-subpaths/s/web/0"));
        assert!(in_pod(13, "volume-subpaths/c/web/0"));
        assert!(!in_pod(11, "volume-subpaths/data/web/1"), "a hostPath's, beside a volume of that name");
        assert!(!in_pod(14, "volume-subpaths/c/web/1"), "another part of the claim's file system");
        assert!(!in_pod(1, "volume-subpaths/data") && !in_pod(1, "volume-subpaths"), "with all that is bound below");
    }

    #[test]
    fn what_is_mounted_below_counts_as_well() {
        let bound = "20 1 8:1 /etc /var/lib/kubelet/pods/u1/plugins/x rw - ext4 d rw\n";
        assert!(judged(NODE, 1, &format!("{POD}/plugins")));
        assert!(!judged(&format!("{NODE}{bound}"), 1, &format!("{POD}/plugins")));
        assert!(in_pod(1, "volumes"));
    }

    #[test]
    fn a_file_system_that_tells_no_places_is_the_pods_only_if_nobody_else_has_it() {
        assert!(in_pod(15, "volume-subpaths/n/web/0"));
        let also = "20 1 0:60 / /mnt/nfs rw - nfs4 srv:/b rw\n";
        assert!(!judged(&format!("{NODE}{also}"), 15, &format!("{POD}/volume-subpaths/n/web/0")));
        assert!(judged(&format!("{NODE}{also}"), 4, &format!("{POD}/volumes/kubernetes.io~nfs/n")));
    }
}
