//! What a container asks of its node.

use crate::capabilities::reaches_the_node;
use crate::{HostAccess, Refusal, Tenant};

/// A mount, as CRI shows it.
#[derive(Debug, Clone, Copy)]
pub struct MountRequest<'a> {
    /// Path on the host.
    pub host_path: &'a str,
    /// What the path leads to belongs to the pod's own volumes and files. Who asks has looked at what is mounted there.
    pub own: bool,
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
    /// Every capability that one of its processes can come to hold, full names.
    pub capabilities: Vec<String>,
    /// Whether capabilities are confined by a kernel or a user namespace of the pod's own.
    pub confined: bool,
}

/// Whether a tenant may have this container.
///
/// # Errors
/// [`Refusal::HostAccess`] or [`Refusal::Capability`], naming what was asked.
pub fn admit_container(tenant: &Tenant, container: &ContainerRequest<'_>) -> Result<(), Refusal> {
    if tenant.spec.host_access == HostAccess::Allowed {
        return Ok(());
    }
    let refuse = |what: String| Err(Refusal::HostAccess { tenant: tenant.name.clone(), what });
    if container.privileged {
        return refuse("privileged".into());
    }
    if let Some(device) = container.devices.first() {
        return refuse(format!("device {device}"));
    }
    for mount in &container.mounts {
        if !mount.own {
            return refuse(format!("hostPath {}", mount.host_path));
        }
        if mount.bidirectional {
            return refuse(format!("bidirectional propagation of {}", mount.host_path));
        }
    }
    match container.capabilities.iter().find(|c| reaches_the_node(c)) {
        Some(capability) if !container.confined => {
            Err(Refusal::Capability { tenant: tenant.name.clone(), capability: capability.clone() })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TenantSpec;

    fn admit(container: &ContainerRequest<'_>) -> Result<(), Refusal> {
        admit_container(&Tenant { name: "blue".into(), spec: TenantSpec::default() }, container)
    }

    #[test]
    fn a_mount_is_the_pods_own_or_a_host_path() {
        let with = |own, bidirectional| {
            let mounts = vec![MountRequest { host_path: "/data", own, bidirectional }];
            admit(&ContainerRequest { mounts, ..Default::default() }).map_err(|e| e.to_string())
        };
        assert_eq!(with(true, false), Ok(()));
        assert!(with(false, false).unwrap_err().contains("hostPath /data"));
        assert!(with(true, true).unwrap_err().contains("bidirectional propagation of /data"));
    }

    #[test]
    fn a_capability_beyond_the_pod_needs_a_kernel_or_user_namespace_of_its_own() {
        let with = |capability: &str, confined| {
            admit(&ContainerRequest { capabilities: vec![capability.into()], confined, ..Default::default() })
        };
        for capability in ["CAP_NET_ADMIN", "CAP_DAC_READ_SEARCH", "CAP_SYS_MODULE", "CAP_BPF", "CAP_SYS_PTRACE"] {
            let refused = with(capability, false).unwrap_err();
            assert!(refused.to_string().contains(capability), "{refused}");
            assert_eq!(with(capability, true), Ok(()));
        }
        assert_eq!(with("CAP_CHOWN", false), Ok(()));
        assert_eq!(with("CAP_IPC_LOCK", false), Ok(()));
    }

    #[test]
    fn privileged_and_devices_are_the_hosts_whatever_confines_them() {
        let container = ContainerRequest { privileged: true, confined: true, ..Default::default() };
        assert!(admit(&container).unwrap_err().to_string().contains("privileged"));
        let container = ContainerRequest { devices: vec!["/dev/null"], confined: true, ..Default::default() };
        assert!(admit(&container).unwrap_err().to_string().contains("device /dev/null"));
    }
}
