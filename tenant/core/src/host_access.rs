//! What a container asks of its node.
//!
//! A mount is a hostPath unless it lies in the pod's own directory below one of kubelet's roots. kubelet binds the
//! `subPath` of any volume, a hostPath's too, at `volume-subpaths/VOL/CONTAINER/N` there; so such a mount counts as the
//! pod's own only if a `volumes/*/VOL` exists.

use std::path::{Component, Path, PathBuf};

use crate::{HostAccess, Refusal, Tenant, UserNamespaceNeed};

/// A mount, as CRI shows it.
#[derive(Debug, Clone, Copy)]
pub struct MountRequest<'a> {
    /// Path on the host.
    pub host_path: &'a str,
    /// Bidirectional propagation: what the container mounts appears on the node.
    pub bidirectional: bool,
}

/// What admission looks at in a container.
#[derive(Debug, Clone, Default)]
pub struct ContainerRequest<'a> {
    /// Whether it is privileged, which gives it all of the node.
    pub privileged: bool,
    /// Host paths of devices.
    pub devices: Vec<&'a str>,
    /// Its mounts.
    pub mounts: Vec<MountRequest<'a>>,
    /// Capabilities beyond the default set, full names.
    pub added_capabilities: Vec<String>,
    /// Whether capabilities are confined by a kernel or a user namespace of the pod's own.
    pub confined: bool,
}

/// Whether a volume of this name exists in a pod's directory (`volumes/*/VOL`): the one look at the file system.
pub type SubPathCheck<'a> = &'a dyn Fn(&Path, &str) -> bool;

/// Whether a tenant may have this container, and whether it needs a user namespace.
///
/// # Errors
/// [`Refusal::HostAccess`], naming the field.
pub fn admit_container(
    tenant: &Tenant,
    pod_uid: &str,
    roots: &[PathBuf],
    container: &ContainerRequest<'_>,
    volume_exists: SubPathCheck<'_>,
) -> Result<UserNamespaceNeed, Refusal> {
    if tenant.spec.host_access == HostAccess::Allowed {
        return Ok(UserNamespaceNeed::AsRequested);
    }
    let refuse = |what: String| Err(Refusal::HostAccess { tenant: tenant.name.clone(), what });
    if container.privileged {
        return refuse("privileged".into());
    }
    if let Some(device) = container.devices.first() {
        return refuse(format!("device {device}"));
    }
    for mount in &container.mounts {
        if !pods_own(Path::new(mount.host_path), pod_uid, roots, volume_exists) {
            return refuse(format!("hostPath {}", mount.host_path));
        }
        if mount.bidirectional {
            return refuse(format!("bidirectional propagation of {}", mount.host_path));
        }
    }
    let dangerous = ["CAP_NET_ADMIN", "CAP_SYS_ADMIN"];
    match container.added_capabilities.iter().find(|c| dangerous.contains(&c.as_str())) {
        Some(capability) if !container.confined => Ok(UserNamespaceNeed::For(capability.clone())),
        _ => Ok(UserNamespaceNeed::AsRequested),
    }
}

fn pods_own(path: &Path, uid: &str, roots: &[PathBuf], volume_exists: SubPathCheck<'_>) -> bool {
    // A path that climbs is not where it seems to be, and a uid is one name, not a path.
    let climbs = path.components().any(|c| c == Component::ParentDir);
    let plain = !uid.is_empty() && !uid.contains('/') && uid != "." && uid != "..";
    if climbs || !plain {
        return false;
    }
    roots.iter().any(|root| {
        let dir = root.join("pods").join(uid);
        let Ok(below) = path.strip_prefix(&dir) else { return false };
        let mut parts = below.components().map(|c| c.as_os_str().to_string_lossy());
        match (parts.next().as_deref(), parts.next()) {
            (None, _) => false,
            (Some("volume-subpaths"), Some(volume)) => volume_exists(&dir, &volume),
            (Some("volume-subpaths"), None) => false,
            _ => true,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TenantSpec;

    const UID: &str = "0a1b";

    fn admit_mount(path: &str, volumes: &[&str]) -> Result<UserNamespaceNeed, Refusal> {
        let tenant = Tenant { name: "blue".into(), spec: TenantSpec::default() };
        let mounts = vec![MountRequest { host_path: path, bidirectional: false }];
        let container = ContainerRequest { mounts, ..Default::default() };
        admit_container(&tenant, UID, &["/var/lib/kubelet".into()], &container, &|_, volume| volumes.contains(&volume))
    }

    #[test]
    fn a_volume_of_the_pod_is_no_host_path() {
        assert!(admit_mount("/var/lib/kubelet/pods/0a1b/volumes/kubernetes.io~empty-dir/data", &[]).is_ok());
        assert!(admit_mount("/var/lib/kubelet/pods/0a1b/etc-hosts", &[]).is_ok());
    }

    #[test]
    fn other_pods_directories_and_climbing_paths_are() {
        for path in [
            "/etc",
            "/var/lib/kubelet/pods/other/volumes/x",
            "/var/lib/kubelet/pods/0a1b/../other",
            "/var/lib/kubelet/pods/0a1b",
        ] {
            assert!(matches!(admit_mount(path, &[]), Err(Refusal::HostAccess { .. })), "{path}");
        }
    }

    #[test]
    fn a_sub_path_counts_only_with_its_volume() {
        let path = "/var/lib/kubelet/pods/0a1b/volume-subpaths/data/web/0";
        assert!(admit_mount(path, &["data"]).is_ok());
        assert!(admit_mount(path, &[]).is_err());
    }

    #[test]
    fn net_admin_without_a_kernel_or_user_namespace_of_its_own_needs_one() {
        let tenant = Tenant { name: "blue".into(), spec: TenantSpec::default() };
        let mut container = ContainerRequest { added_capabilities: vec!["CAP_NET_ADMIN".into()], ..Default::default() };
        let admit = |c: &ContainerRequest<'_>| admit_container(&tenant, UID, &[], c, &|_, _| false).unwrap();
        assert_eq!(admit(&container), UserNamespaceNeed::For("CAP_NET_ADMIN".into()));
        container.confined = true;
        assert_eq!(admit(&container), UserNamespaceNeed::AsRequested);
    }
}
