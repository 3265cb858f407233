//! Security contexts of pod and container as CRI has them.

use cofferdam_cri_api::v1 as cri;
use cri::security_profile::ProfileType;

use super::manifest::{Container, GroupsPolicy, PodManifest, Seccomp, SeccompType};
use super::placement::Placement;

/// Ids in a user namespace, as with kubelet.
pub(super) const USER_IDS: u32 = 65536;

fn int(value: Option<i64>) -> Option<cri::Int64Value> {
    value.map(|value| cri::Int64Value { value })
}

/// Unset means the default profile, not none: these pods may be of tenants who do not trust each other.
fn seccomp(profile: Option<&Seccomp>) -> Option<cri::SecurityProfile> {
    let kind = match profile.map(|p| p.r#type) {
        Some(SeccompType::Unconfined) => ProfileType::Unconfined,
        _ => ProfileType::RuntimeDefault,
    };
    Some(cri::SecurityProfile { profile_type: kind.into(), localhost_ref: String::new() })
}

fn groups_policy(policy: GroupsPolicy) -> i32 {
    match policy {
        GroupsPolicy::Merge => cri::SupplementalGroupsPolicy::Merge.into(),
        GroupsPolicy::Strict => cri::SupplementalGroupsPolicy::Strict.into(),
    }
}

/// The mapping of the pod's user namespace; empty without one.
pub(super) fn id_mappings(placement: &Placement) -> Vec<cri::IdMapping> {
    let map = |host_id| cri::IdMapping { host_id, container_id: 0, length: USER_IDS };
    placement.first_host_id.map(map).into_iter().collect()
}

fn namespaces(pod: &PodManifest, placement: &Placement) -> cri::NamespaceOption {
    let spec = &pod.spec;
    let mode = |node: bool, otherwise| if node { cri::NamespaceMode::Node } else { otherwise };
    let pid = if spec.share_process_namespace { cri::NamespaceMode::Pod } else { cri::NamespaceMode::Container };
    let ids = id_mappings(placement);
    cri::NamespaceOption {
        network: mode(spec.host_network, cri::NamespaceMode::Pod).into(),
        pid: mode(spec.host_pid, pid).into(),
        ipc: mode(spec.host_ipc, cri::NamespaceMode::Pod).into(),
        target_id: String::new(),
        userns_options: (!ids.is_empty()).then(|| cri::UserNamespace {
            mode: cri::NamespaceMode::Pod.into(),
            uids: ids.clone(),
            gids: ids,
        }),
    }
}

/// The sandbox's.
pub(super) fn sandbox(pod: &PodManifest, placement: &Placement) -> cri::LinuxSandboxSecurityContext {
    let security = &pod.spec.security_context;
    cri::LinuxSandboxSecurityContext {
        namespace_options: Some(namespaces(pod, placement)),
        run_as_user: int(security.run_as_user),
        // CRI has no group without its user.
        run_as_group: int(security.run_as_group.filter(|_| security.run_as_user.is_some())),
        supplemental_groups: security.supplemental_groups.clone(),
        supplemental_groups_policy: groups_policy(security.supplemental_groups_policy),
        privileged: pod.spec.containers.iter().any(|c| c.security_context.privileged),
        seccomp: seccomp(security.seccomp_profile.as_ref()),
        ..Default::default()
    }
}

/// A container's; what it does not say, the pod says.
pub(super) fn container(
    pod: &PodManifest,
    container: &Container,
    placement: &Placement,
    image: &cri::Image,
) -> cri::LinuxContainerSecurityContext {
    let (of_pod, own) = (&pod.spec.security_context, &container.security_context);
    let (user, group) = (own.run_as_user.or(of_pod.run_as_user), own.run_as_group.or(of_pod.run_as_group));
    // CRI has no group without a user: then the image's is spelt out.
    let from_image = user.is_none() && group.is_some();
    let image_user = image.uid.or_else(|| int(image.username.is_empty().then_some(0)));
    cri::LinuxContainerSecurityContext {
        capabilities: Some(cri::Capability {
            add_capabilities: own.capabilities.add.clone(),
            drop_capabilities: own.capabilities.drop.clone(),
            ..Default::default()
        }),
        privileged: own.privileged,
        namespace_options: Some(namespaces(pod, placement)),
        run_as_user: if from_image { image_user } else { int(user) },
        run_as_username: if from_image { image.username.clone() } else { String::new() },
        run_as_group: int(group),
        readonly_rootfs: own.read_only_root_filesystem,
        supplemental_groups: of_pod.supplemental_groups.clone(),
        supplemental_groups_policy: groups_policy(of_pod.supplemental_groups_policy),
        no_new_privs: own.allow_privilege_escalation == Some(false),
        seccomp: seccomp(own.seccomp_profile.as_ref().or(of_pod.seccomp_profile.as_ref())),
        ..Default::default()
    }
}

/// `runAsNonRoot`: whether the container would be root after all, as kubelet checks it.
pub(super) fn would_be_root(pod: &PodManifest, container: &Container, image: &cri::Image) -> Option<String> {
    let (of_pod, own) = (&pod.spec.security_context, &container.security_context);
    if own.run_as_non_root.or(of_pod.run_as_non_root) != Some(true) {
        return None;
    }
    let why = match (own.run_as_user.or(of_pod.run_as_user), &image.uid, image.username.as_str()) {
        (Some(0), _, _) => "runAsUser is 0".to_owned(),
        (Some(_), _, _) => return None,
        (None, Some(uid), _) if uid.value == 0 => "the image's user is 0".to_owned(),
        (None, Some(_), _) => return None,
        (None, None, "") => "the image names no user".to_owned(),
        (None, None, name) => format!("the image's user {name:?} is a name, which may be root's"),
    };
    Some(format!("container {:?}: runAsNonRoot is set, but {why}", container.name))
}
