//! Which tenant a pod belongs to, and what that tenant lets it have.

use std::path::{Path, PathBuf};

use cofferdam_cri_api::v1 as cri;
use cofferdam_sandbox::{SandboxKind, UserNamespace, VmSize};
use cofferdam_store::SandboxEntry;
use cofferdam_tenant::{ContainerRequest, MountRequest, PodRequest, UserNamespaceNeed, VmDefaults, admit};

use crate::error::Error;
use crate::node::Node;
use crate::spec;

/// The sandbox that a pod gets.
pub(crate) struct PodAdmission {
    pub tenant: String,
    pub kind: SandboxKind,
    pub vm: Option<VmSize>,
    /// A user namespace that kubelet did not ask for.
    pub user_namespace: Option<UserNamespace>,
}

/// Decides about a pod sandbox.
pub(crate) async fn admit_pod(
    node: &Node,
    config: &cri::PodSandboxConfig,
    handler: &str,
) -> Result<PodAdmission, Error> {
    let namespace = config.metadata.as_ref().map(|m| m.namespace.as_str()).unwrap_or_default();
    let tenant = node.tenants.resolve(namespace).await?;
    let security = config.linux.as_ref().and_then(|l| l.security_context.clone()).unwrap_or_default();
    let options = security.namespace_options.clone().unwrap_or_default();
    let of_node = |mode: cri::NamespaceMode| mode == cri::NamespaceMode::Node;
    let request = PodRequest {
        handler,
        host_network: of_node(options.network()),
        host_pid: of_node(options.pid()),
        host_ipc: of_node(options.ipc()),
        privileged: security.privileged,
    };
    let admission = admit(&tenant, &request)?;
    let vm = (admission.kind == SandboxKind::Vm).then(|| vm_size(config, admission.vm));
    Ok(PodAdmission { tenant: tenant.name.clone(), kind: admission.kind, vm, user_namespace: None })
}

/// Decides about a container. What it may have is asked of the tenant as it is now, not as it was when the pod began.
pub(crate) async fn admit_container(
    node: &Node,
    pod: &SandboxEntry,
    config: &cri::ContainerConfig,
) -> Result<(), Error> {
    let tenant = node.tenants.resolve(&pod.spec.namespace).await?;
    let security = config.linux.as_ref().and_then(|l| l.security_context.clone()).unwrap_or_default();
    // What a path leads to counts as much as what it says: a tenant writes the files of its own volumes.
    let targets: Vec<String> =
        config.mounts.iter().map(|m| resolve(Path::new(&m.host_path)).to_string_lossy().into_owned()).collect();
    let mount = |host_path, m: &cri::Mount| MountRequest {
        host_path,
        bidirectional: m.propagation() == cri::MountPropagation::PropagationBidirectional,
    };
    let request = ContainerRequest {
        privileged: security.privileged,
        devices: config.devices.iter().map(|d| d.host_path.as_str()).collect(),
        mounts: config
            .mounts
            .iter()
            .zip(&targets)
            .flat_map(|(m, target)| [mount(m.host_path.as_str(), m), mount(target.as_str(), m)])
            .collect(),
        added_capabilities: spec::added_capabilities(&security),
        confined: spec::is_vm(&pod.spec) || pod.spec.namespaces.user.is_some(),
    };
    let mut roots = node.settings.kubelet_root_dirs.clone();
    roots.extend(node.settings.kubelet_root_dirs.iter().map(|root| resolve(root)));
    match cofferdam_tenant::admit_container(&tenant, &pod.spec.uid, &roots, &request, &volume_exists)? {
        UserNamespaceNeed::AsRequested => Ok(()),
        UserNamespaceNeed::For(capability) => Err(Error::Denied(format!(
            "tenant {:?} has no host access: {capability} in a namespace sandbox needs a user namespace; set hostUsers: false, \
             or use the handler \"vm\"",
            tenant.name
        ))),
    }
}

/// The path without symlinks, as far as it exists.
fn resolve(path: &Path) -> PathBuf {
    let real = |ancestor: &Path| Some(ancestor.canonicalize().ok()?.join(path.strip_prefix(ancestor).ok()?));
    path.ancestors().find_map(real).unwrap_or_else(|| path.to_owned())
}

fn volume_exists(pod_dir: &Path, volume: &str) -> bool {
    let Ok(plugins) = std::fs::read_dir(pod_dir.join("volumes")) else { return false };
    plugins.flatten().any(|plugin| std::fs::symlink_metadata(plugin.path().join(volume)).is_ok())
}

/// The larger of the tenant's size and what kubelet sums up of the containers' limits; memory is settled by the VM
/// sandbox, which knows its own reserve.
fn vm_size(config: &cri::PodSandboxConfig, defaults: VmDefaults) -> VmSize {
    let resources = config.linux.as_ref().and_then(|l| l.resources.clone()).unwrap_or_default();
    let cpus = match (resources.cpu_quota, resources.cpu_period) {
        (quota @ 1.., period @ 1..) => {
            u32::try_from(quota.div_euclid(period) + i64::from(quota.rem_euclid(period) > 0)).unwrap_or(u32::MAX)
        }
        _ => 0,
    };
    let memory = u64::try_from(resources.memory_limit_in_bytes).unwrap_or(0);
    VmSize { cpus: defaults.cpus.max(cpus), memory: defaults.memory.max(memory) }
}
