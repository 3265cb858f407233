//! Which tenant a pod belongs to, and what that tenant lets it have.

use std::path::PathBuf;
use std::sync::Arc;

use cofferdam_cri_api::v1 as cri;
use cofferdam_sandbox::{IdMap, SandboxKind, UserNamespace, VmSize};
use cofferdam_store::SandboxEntry;
use cofferdam_tenant::{
    ContainerRequest, HostAccess, HostIds, MountRequest, PodRequest, Tenant, VmDefaults, admit, admit_user_namespace,
};

use crate::error::Error;
use crate::node::{Node, Settings};
use crate::own_volumes::{self, Source};
use crate::spec;

/// The sandbox that a pod gets.
pub(crate) struct PodAdmission {
    pub tenant: Arc<Tenant>,
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
    Ok(PodAdmission { tenant, kind: admission.kind, vm, user_namespace: None })
}

/// Decides about the host ids of a pod's user namespace. `others` are all pods of the node; nobody may record another
/// one between this and the record of the pod.
pub(crate) fn admit_host_ids(
    settings: &Settings,
    tenant: &Tenant,
    pod: &SandboxEntry,
    others: &[Arc<SandboxEntry>],
) -> Result<(), Error> {
    let Some(own) = &pod.spec.namespaces.user else { return Ok(()) };
    // A pod's next sandbox has the mapping of the one before, with the files that belong to it.
    let same = |other: &SandboxEntry| {
        let of = |entry: &SandboxEntry| (entry.spec.namespace.clone(), entry.spec.name.clone(), entry.spec.uid.clone());
        of(other) == of(pod)
    };
    let live = others.iter().filter(|o| !o.released() && o.boot_id == settings.boot_id && !same(o));
    let users: Vec<&UserNamespace> = live.filter_map(|o| o.spec.namespaces.user.as_ref()).collect();
    let (first, size) = settings.vm_ids;
    let ids = |of: fn(&UserNamespace) -> &Vec<IdMap>| -> Vec<HostIds> {
        let others = users.iter().flat_map(|user| of(user)).map(host_ids);
        others.chain([HostIds { first, size }]).collect()
    };
    admit_user_namespace(tenant, &own.uids.iter().map(host_ids).collect::<Vec<_>>(), &ids(|user| &user.uids))?;
    admit_user_namespace(tenant, &own.gids.iter().map(host_ids).collect::<Vec<_>>(), &ids(|user| &user.gids))?;
    Ok(())
}

fn host_ids(map: &IdMap) -> HostIds {
    HostIds { first: map.host, size: map.size }
}

/// What a container gets.
pub(crate) struct ContainerAdmission {
    /// The sources of its mounts, in their order, as they were judged; `None`: by their paths, whatever they are.
    sources: Vec<Option<Source>>,
    /// The usual paths of /proc and /sys are hidden or read-only, whatever it asks for.
    pub masked: bool,
}

impl ContainerAdmission {
    /// Where the sources of the mounts are found, in their order, for as long as this lives.
    pub fn sources(&self, config: &cri::ContainerConfig) -> Vec<PathBuf> {
        let paths = config.mounts.iter().map(|m| PathBuf::from(&m.host_path));
        self.sources.iter().zip(paths).map(|(source, path)| source.as_ref().map_or(path, Source::path)).collect()
    }
}

/// Decides about a container. What it may have is asked of the tenant as it is now, not as it was when the pod began.
pub(crate) async fn admit_container(
    node: &Node,
    pod: &SandboxEntry,
    config: &cri::ContainerConfig,
) -> Result<ContainerAdmission, Error> {
    let tenant = node.tenants.resolve(&pod.spec.namespace).await?;
    let security = config.linux.as_ref().and_then(|l| l.security_context.clone()).unwrap_or_default();
    let capabilities = spec::held_capabilities(&security)?;
    if tenant.spec.host_access == HostAccess::Allowed {
        return Ok(ContainerAdmission { sources: config.mounts.iter().map(|_| None).collect(), masked: false });
    }
    let confined = spec::is_vm(&pod.spec) || pod.spec.namespaces.user.as_ref().is_some_and(confines);
    let sources = open_sources(node, pod, config).await?;
    let named: Vec<String> = config.mounts.iter().zip(&sources).map(|(m, source)| shown(m, source)).collect();
    let mount = |((m, source), host_path): ((&cri::Mount, &std::io::Result<Source>), _)| MountRequest {
        host_path,
        own: source.as_ref().is_ok_and(|source| source.own),
        bidirectional: m.propagation() == cri::MountPropagation::PropagationBidirectional,
    };
    let request = ContainerRequest {
        privileged: security.privileged,
        devices: config.devices.iter().map(|d| d.host_path.as_str()).collect(),
        mounts: config.mounts.iter().zip(&sources).zip(named.iter().map(String::as_str)).map(mount).collect(),
        capabilities,
        confined,
    };
    cofferdam_tenant::admit_container(&tenant, &request)?;
    let sources = sources.into_iter().map(Result::ok).collect();
    Ok(ContainerAdmission { sources, masked: !confined })
}

/// The path of a mount, and why it could not be opened.
fn shown(mount: &cri::Mount, source: &std::io::Result<Source>) -> String {
    match source {
        Ok(_) => mount.host_path.clone(),
        Err(error) => format!("{} ({error})", mount.host_path),
    }
}

/// Whether a user namespace keeps capabilities away from the node: it maps none of its ids.
fn confines(user: &UserNamespace) -> bool {
    !user.uids.iter().chain(&user.gids).any(|map| host_ids(map).touches_the_node())
}

async fn open_sources(
    node: &Node,
    pod: &SandboxEntry,
    config: &cri::ContainerConfig,
) -> Result<Vec<std::io::Result<Source>>, Error> {
    let paths: Vec<PathBuf> = config.mounts.iter().map(|m| PathBuf::from(&m.host_path)).collect();
    let (uid, roots) = (pod.spec.uid.clone(), node.settings.kubelet_root_dirs.clone());
    // A volume may be on a server that does not answer.
    let opened = tokio::task::spawn_blocking(move || own_volumes::open(&paths, &uid, &roots)).await;
    let failed = |error: &dyn std::fmt::Display| Error::Internal(format!("look at the sources of mounts: {error}"));
    opened.map_err(|e| failed(&e))?.map_err(|e| failed(&e))
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
