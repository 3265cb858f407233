//! RunPodSandbox.
//!
//! ```text
//!  tenant -> intent in the store -> addresses -> rules in the kernel ┐
//!                                             -> shim, namespaces    ┴-> link (down) -> link up, boot -> READY
//! ```
//! The pod's rules are in force before its interface is up; a pod that cannot be programmed does not start. Whatever
//! fails, what came before is released; a daemon that dies in between releases it at its next start.

use std::sync::Arc;
use std::time::Duration;

use cofferdam_cri_api::v1 as cri;
use cofferdam_sandbox::{Attachment, IdMap, Lease, NamespaceMode, PodNamespaces, Sandbox, SandboxSpec, UserNamespace};
use cofferdam_store::{SandboxEntry, SandboxPhase};
use prost::Message;

use super::sandbox_resources;
use crate::runtime::now;
use crate::tenancy::PodAdmission;
use crate::{Error, Runtime, convert, ids, pod_files, spec};

/// `/dev/shm` of a pod, as Docker and containerd have it.
const SHM_SIZE: u64 = 64 << 20;
/// How long a failed RunPodSandbox waits for its own clean-up.
const UNDO_WAIT: Duration = Duration::from_secs(5);

pub(super) async fn run(
    runtime: &Arc<Runtime>,
    request: cri::RunPodSandboxRequest,
) -> Result<cri::RunPodSandboxResponse, Error> {
    let config = request.config.ok_or_else(|| Error::Invalid("config: is missing".into()))?;
    let metadata = config.metadata.clone().unwrap_or_default();
    for (field, value) in [("name", &metadata.name), ("namespace", &metadata.namespace), ("uid", &metadata.uid)] {
        if value.is_empty() {
            return Err(Error::Invalid(format!("config.metadata.{field}: is empty")));
        }
    }
    let key = format!("run {}_{}_{}_{}", metadata.name, metadata.namespace, metadata.uid, metadata.attempt);
    let (runtime_, handler) = (runtime.clone(), request.runtime_handler);
    let run = || async move { run_named(&runtime_, config, &metadata, handler).await };
    Ok(cri::RunPodSandboxResponse { pod_sandbox_id: runtime.ops.run(key, run).await? })
}

async fn run_named(
    runtime: &Arc<Runtime>,
    config: cri::PodSandboxConfig,
    metadata: &cri::PodSandboxMetadata,
    handler: String,
) -> Result<String, Error> {
    let name = format!("{}_{}_{}_{}", metadata.name, metadata.namespace, metadata.uid, metadata.attempt);
    if let Some(found) = runtime.parts.store.sandboxes.find(|s| s.key() == name) {
        match found.phase {
            SandboxPhase::Ready => return Ok(found.spec.id.clone()),
            SandboxPhase::NotReady => {
                let id = &found.spec.id;
                return Err(Error::AlreadyExists(format!(
                    "pod sandbox {id} of this name and attempt is stopped; remove it first"
                )));
            }
            // What an earlier, failed try left is no obstacle.
            SandboxPhase::Creating | SandboxPhase::Removing => undo(runtime, &found).await?,
        }
    }
    spec::refuse::sandbox(&config)?;
    let admission = runtime.admit_pod(&config, &handler).await?;
    let entry = draft(runtime, &config, metadata, handler, &admission)?;
    runtime.factory(entry.spec.kind)?.check(&entry.spec)?;
    if let Some(reason) = runtime.factory(entry.spec.kind)?.unavailable() {
        return Err(Error::Precondition(reason));
    }
    let id = entry.spec.id.clone();
    let stored = runtime.parts.store.sandboxes.put(entry.clone()).await?;
    match set_up(runtime, entry).await {
        Ok(()) => Ok(id),
        Err(error) => {
            if let Err(left) = undo(runtime, &stored).await {
                tracing::error!(sandbox = id, error = %left, "what a failed RunPodSandbox left is not removed yet");
            }
            Err(error)
        }
    }
}

/// Removes what a try has left. The clean-up goes on for as long as it takes, the caller does not wait that long.
async fn undo(runtime: &Arc<Runtime>, entry: &SandboxEntry) -> Result<(), Error> {
    match tokio::time::timeout(UNDO_WAIT, runtime.remove_pod(entry)).await {
        Ok(removed) => removed,
        Err(_) => Err(Error::Unavailable(format!(
            "what a failed try left (pod sandbox {}) is still being removed",
            entry.spec.id
        ))),
    }
}

fn draft(
    runtime: &Runtime,
    config: &cri::PodSandboxConfig,
    metadata: &cri::PodSandboxMetadata,
    handler: String,
    admission: &PodAdmission,
) -> Result<SandboxEntry, Error> {
    let id = ids::new();
    let linux = config.linux.clone().unwrap_or_default();
    let security = linux.security_context.clone().unwrap_or_default();
    let namespaces = namespaces(&security, admission)?;
    let cgroup = match linux.cgroup_parent.as_str() {
        "" => format!("{}/pods/{id}", runtime.settings.cgroup_root),
        parent => runtime.cgroup_path(parent)?,
    };
    let host = namespaces.network == NamespaceMode::Node;
    let spec = SandboxSpec {
        namespace: metadata.namespace.clone(),
        name: metadata.name.clone(),
        uid: metadata.uid.clone(),
        tenant: admission.tenant.clone(),
        kind: admission.kind,
        hostname: if host { String::new() } else { hostname(config, metadata)? },
        dir: runtime.pod_dir(&id),
        cgroup,
        shim_cgroup: format!("{}/shims", runtime.settings.cgroup_root),
        namespaces,
        sysctls: linux.sysctls.into_iter().collect(),
        shm_size: SHM_SIZE,
        resolv_conf: pod_files::resolv_conf(config.dns_config.as_ref())?,
        vm: admission.vm,
        init_seccomp: runtime
            .parts
            .seccomp
            .runtime_default(&[])
            .map_err(|e| Error::Internal(format!("seccomp: {e}")))?,
        id,
    };
    Ok(SandboxEntry {
        spec,
        config: config.encode_to_vec(),
        runtime_handler: handler,
        attempt: metadata.attempt,
        phase: SandboxPhase::Creating,
        reason: String::new(),
        created_at: now(),
        lease: None,
        record: None,
        boot_id: runtime.settings.boot_id.clone(),
        released: false,
    })
}

fn hostname(config: &cri::PodSandboxConfig, metadata: &cri::PodSandboxMetadata) -> Result<String, Error> {
    let name = if config.hostname.is_empty() { &metadata.name } else { &config.hostname };
    // The kernel's limit; a pod's name may be longer than a host name.
    if config.hostname.len() > 64 {
        return Err(Error::Invalid(format!("config.hostname: {:?} is longer than 64 bytes", config.hostname)));
    }
    Ok(name.chars().take(63).collect())
}

fn namespaces(security: &cri::LinuxSandboxSecurityContext, admission: &PodAdmission) -> Result<PodNamespaces, Error> {
    let options = security.namespace_options.clone().unwrap_or_default();
    let mode = |field: &str, mode: cri::NamespaceMode, container: bool| match mode {
        cri::NamespaceMode::Pod => Ok(NamespaceMode::Pod),
        cri::NamespaceMode::Node => Ok(NamespaceMode::Node),
        cri::NamespaceMode::Container if container => Ok(NamespaceMode::Container),
        other => {
            Err(Error::Invalid(format!("namespace_options.{field}: {} is not possible for a pod", other.as_str_name())))
        }
    };
    Ok(PodNamespaces {
        network: mode("network", options.network(), false)?,
        pid: mode("pid", options.pid(), true)?,
        ipc: mode("ipc", options.ipc(), false)?,
        user: match options.userns_options {
            Some(user) if user.mode() == cri::NamespaceMode::Pod => {
                Some(UserNamespace { uids: id_maps(&user.uids)?, gids: id_maps(&user.gids)? })
            }
            Some(user) if user.mode() != cri::NamespaceMode::Node => {
                let mode = user.mode().as_str_name();
                return Err(Error::Invalid(format!(
                    "namespace_options.userns_options.mode: {mode} is not possible for a pod"
                )));
            }
            _ => admission.user_namespace.clone(),
        },
    })
}

fn id_maps(maps: &[cri::IdMapping]) -> Result<Vec<IdMap>, Error> {
    let field = "namespace_options.userns_options";
    if maps.is_empty() {
        return Err(Error::Invalid(format!("{field}: mode POD needs uids and gids")));
    }
    let one = |m: &cri::IdMapping| {
        let fits = m.length > 0
            && m.host_id.checked_add(m.length - 1).is_some()
            && m.container_id.checked_add(m.length - 1).is_some();
        let map = IdMap { container: m.container_id, host: m.host_id, size: m.length };
        if fits { Ok(map) } else { Err(Error::Invalid(format!("{field}: {map:?} is empty or overflows"))) }
    };
    maps.iter().map(one).collect()
}

async fn set_up(runtime: &Arc<Runtime>, entry: SandboxEntry) -> Result<(), Error> {
    let (id, spec) = (entry.spec.id.clone(), entry.spec.clone());
    let networked = spec.namespaces.network == NamespaceMode::Pod;
    let lease = if networked { Some(lease(runtime, &id).await?) } else { None };
    let factory = runtime.factory(spec.kind)?;
    pod_files::write(&spec, lease.as_ref()).await?;
    let program = async {
        match &lease {
            Some(lease) => runtime.parts.policy.program(runtime.local_pod(&entry, lease)).await.map_err(Error::from),
            None => Ok(()),
        }
    };
    let create = async { factory.create(&spec).await.map_err(Error::from) };
    let (programmed, created) = tokio::join!(program, create);
    let sandbox = created?;
    // From here on a failure finds the sandbox among the live ones and ends it.
    runtime.set_live(sandbox.clone());
    programmed?;
    limit(&*sandbox, &entry).await?;
    connect(runtime, &*sandbox, lease.as_ref()).await?;
    let record = sandbox.record();
    let change = runtime.parts.store.sandboxes.update(&id, move |s| {
        s.record = Some(record);
        s.phase = SandboxPhase::Ready;
    });
    change.await?;
    if runtime.live(&id).is_none() {
        return Err(Error::Unavailable(format!("pod sandbox {id} died at its start")));
    }
    runtime.watch(sandbox);
    runtime.announce(&id, &id, cri::ContainerEventType::ContainerCreatedEvent);
    runtime.announce(&id, &id, cri::ContainerEventType::ContainerStartedEvent);
    Ok(())
}

/// kubelet limits the cgroup that it gives by itself. One of the sandbox's own has nobody else to do that; a VM has its size.
async fn limit(sandbox: &dyn Sandbox, entry: &SandboxEntry) -> Result<(), Error> {
    let linux = convert::pod_config(entry).linux.unwrap_or_default();
    let (cpus, memory) = sandbox_resources::limits(&linux.resources.unwrap_or_default());
    if !linux.cgroup_parent.is_empty() || spec::is_vm(&entry.spec) || (cpus.is_none() && memory.is_none()) {
        return Ok(());
    }
    Ok(sandbox.resize(cpus, memory).await?)
}

async fn lease(runtime: &Runtime, id: &str) -> Result<Lease, Error> {
    let lease = runtime.parts.network.allocate(id)?;
    let stored = lease.clone();
    match runtime.parts.store.sandboxes.update(id, move |s| s.lease = Some(stored)).await {
        Ok(_) => Ok(lease),
        Err(error) => {
            // Nobody would ever give it back.
            runtime.parts.network.detach(&lease).await?;
            Err(error.into())
        }
    }
}

async fn connect(runtime: &Runtime, sandbox: &dyn Sandbox, lease: Option<&Lease>) -> Result<(), Error> {
    let end = match (sandbox.attachment(), lease) {
        (Attachment::Host, _) | (_, None) => None,
        (Attachment::Link(to), Some(lease)) => {
            let end = runtime.parts.network.attach(lease, to).await?;
            runtime.parts.network.up(lease).await?;
            Some(end)
        }
    };
    Ok(sandbox.start(end).await?)
}
