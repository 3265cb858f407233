//! From a CRI `PodSandboxConfig` to the spec of a sandbox.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use cofferdam_cri_api::v1 as cri;
use cofferdam_sandbox::{IdMap, NamespaceMode, PodNamespaces, SandboxKind, SandboxSpec, UserNamespace, VmSize};

use super::error::SpecError;
use super::resolv_conf::resolv_conf;
use super::{cgroup, ids, resources};

/// `/dev/shm` of a pod, as Docker and containerd have it.
const SHM_SIZE: u64 = 64 << 20;

/// All that goes into a sandbox's spec.
pub(crate) struct PodInputs<'a> {
    pub id: String,
    pub config: &'a cri::PodSandboxConfig,
    pub tenant: String,
    pub kind: SandboxKind,
    /// Size of a VM.
    pub vm: Option<VmSize>,
    /// A user namespace that kubelet did not ask for.
    pub user_namespace: Option<UserNamespace>,
    /// `STATE/pods/ID`.
    pub dir: PathBuf,
    /// `[cgroup] root`.
    pub cgroup_root: &'a str,
    pub cgroup_driver: cri::CgroupDriver,
    /// Compiled seccomp program of the pod's own init.
    pub init_seccomp: Vec<u8>,
}

/// The spec of a sandbox.
pub(crate) fn sandbox_spec(inputs: PodInputs<'_>) -> Result<SandboxSpec, SpecError> {
    let PodInputs { id, config, cgroup_root, .. } = inputs;
    let metadata = config.metadata.clone().unwrap_or_default();
    let linux = config.linux.clone().unwrap_or_default();
    let security = linux.security_context.unwrap_or_default();
    let namespaces = namespaces(&security, inputs.user_namespace)?;
    let cgroup = match linux.cgroup_parent.as_str() {
        "" => format!("{cgroup_root}/pods/{id}"),
        parent => cgroup::parent_path(inputs.cgroup_driver, parent)?,
    };
    let host = namespaces.network == NamespaceMode::Node;
    Ok(SandboxSpec {
        hostname: if host { String::new() } else { hostname(config, &metadata)? },
        namespace: metadata.namespace,
        name: metadata.name,
        uid: metadata.uid,
        tenant: inputs.tenant,
        kind: inputs.kind,
        dir: inputs.dir,
        cgroup,
        shim_cgroup: format!("{cgroup_root}/shims"),
        sysctls: sysctls(linux.sysctls, &namespaces),
        namespaces,
        shm_size: SHM_SIZE,
        resolv_conf: resolv_conf(config.dns_config.as_ref())?,
        vm: inputs.vm,
        init_seccomp: inputs.init_seccomp,
        id,
    })
}

/// Limits that the sandbox itself has to set: kubelet limits the cgroup that it gives, a VM has its size, and one of
/// the sandbox's own has nobody else to do that.
pub(crate) fn own_limits(spec: &SandboxSpec, config: &cri::PodSandboxConfig) -> Option<(Option<f64>, Option<u64>)> {
    let linux = config.linux.as_ref()?;
    let limits = resources::pod_limits(linux.resources.as_ref()?);
    let wanted = linux.cgroup_parent.is_empty() && !is_vm(spec) && limits != (None, None);
    wanted.then_some(limits)
}

/// Whether it has a kernel of its own.
pub(crate) fn is_vm(sandbox: &SandboxSpec) -> bool {
    sandbox.kind == SandboxKind::Vm
}

/// What a pod asks for; and in a network of its own every user listens on low ports and pings, as containerd has it and
/// images count on.
fn sysctls(asked: HashMap<String, String>, namespaces: &PodNamespaces) -> BTreeMap<String, String> {
    let mut sysctls: BTreeMap<String, String> = asked.into_iter().collect();
    if namespaces.network == NamespaceMode::Pod {
        let groups = format!("0 {}", last_group(namespaces));
        for (name, value) in [("ip_unprivileged_port_start", "0"), ("ping_group_range", &groups)] {
            sysctls.entry(format!("net.ipv4.{name}")).or_insert_with(|| value.to_owned());
        }
    }
    sysctls
}

/// The kernel takes only ids that the pod's user namespace has, and none above 2^31-1.
fn last_group(namespaces: &PodNamespaces) -> u32 {
    const MOST: u32 = i32::MAX as u32;
    let Some(user) = &namespaces.user else { return MOST };
    let first = user.gids.iter().find(|range| range.container == 0);
    first.map_or(0, |range| range.size.saturating_sub(1).min(MOST))
}

fn hostname(config: &cri::PodSandboxConfig, metadata: &cri::PodSandboxMetadata) -> Result<String, SpecError> {
    let name = if config.hostname.is_empty() { &metadata.name } else { &config.hostname };
    // The kernel's limit; a pod's name may be longer than a host name.
    if config.hostname.len() > 64 {
        return Err(SpecError::new("config.hostname", format!("{:?} is longer than 64 bytes", config.hostname)));
    }
    Ok(name.chars().take(63).collect())
}

fn namespaces(
    security: &cri::LinuxSandboxSecurityContext,
    own: Option<UserNamespace>,
) -> Result<PodNamespaces, SpecError> {
    let options = security.namespace_options.clone().unwrap_or_default();
    let mode = |field: &str, mode: cri::NamespaceMode, container: bool| match mode {
        cri::NamespaceMode::Pod => Ok(NamespaceMode::Pod),
        cri::NamespaceMode::Node => Ok(NamespaceMode::Node),
        cri::NamespaceMode::Container if container => Ok(NamespaceMode::Container),
        other => Err(SpecError::new(
            format!("namespace_options.{field}"),
            format!("{} is not possible for a pod", other.as_str_name()),
        )),
    };
    Ok(PodNamespaces {
        network: mode("network", options.network(), false)?,
        pid: mode("pid", options.pid(), true)?,
        ipc: mode("ipc", options.ipc(), false)?,
        user: match options.userns_options {
            Some(user) if user.mode() == cri::NamespaceMode::Pod => {
                Some(UserNamespace { uids: id_maps("uids", &user.uids)?, gids: id_maps("gids", &user.gids)? })
            }
            Some(user) if user.mode() != cri::NamespaceMode::Node => {
                let reason = format!("{} is not possible for a pod", user.mode().as_str_name());
                return Err(SpecError::new("namespace_options.userns_options.mode", reason));
            }
            _ => own,
        },
    })
}

fn id_maps(name: &str, maps: &[cri::IdMapping]) -> Result<Vec<IdMap>, SpecError> {
    let field = format!("namespace_options.userns_options.{name}");
    if maps.is_empty() {
        return Err(SpecError::new(field, "is empty with mode POD"));
    }
    ids::check_mappings(&field, maps)?;
    Ok(maps.iter().map(|m| IdMap { container: m.container_id, host: m.host_id, size: m.length }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn low_ports_and_pings_are_every_users_in_a_network_of_the_pods_own() {
        let pod = |network, gids: Option<u32>| {
            let ids = |size| vec![IdMap { container: 0, host: 65536, size }];
            let user = gids.map(|size| UserNamespace { uids: ids(size), gids: ids(size) });
            PodNamespaces { network, pid: NamespaceMode::Container, ipc: NamespaceMode::Pod, user }
        };
        let of = |asked: &[(&str, &str)], namespaces: PodNamespaces| {
            let asked = asked.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
            let set = sysctls(asked, &namespaces);
            let value = |name: &str| set.get(&format!("net.ipv4.{name}")).cloned().unwrap_or_default();
            (value("ip_unprivileged_port_start"), value("ping_group_range"))
        };
        let texts = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(of(&[], pod(NamespaceMode::Pod, None)), texts("0", "0 2147483647"));
        assert_eq!(of(&[], pod(NamespaceMode::Pod, Some(65536))), texts("0", "0 65535"));
        assert_eq!(of(&[], pod(NamespaceMode::Node, None)), texts("", ""));
        let asked = [("net.ipv4.ip_unprivileged_port_start", "80"), ("net.ipv4.ping_group_range", "1 0")];
        assert_eq!(of(&asked, pod(NamespaceMode::Pod, None)), texts("80", "1 0"));
    }
}
