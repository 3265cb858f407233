//! CreateContainer.
//!
//! ```text
//!  intent in the store -> root file system -> spec -> stage -> set up by the shim -> CREATED
//! ```
//! Whatever fails, what came before is undone; a daemon that dies in between undoes it at its next start.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cofferdam_cri_api::v1 as cri;
use cofferdam_sandbox::Sandbox;
use cofferdam_store::{ContainerEntry, ContainerPhase, SandboxEntry, SandboxPhase};
use prost::Message;

use super::container_log;
use crate::containers::create_key;
use crate::runtime::now;
use crate::{Error, Runtime, convert, ids, spec};

pub(super) async fn create(
    runtime: &Arc<Runtime>,
    request: cri::CreateContainerRequest,
) -> Result<cri::CreateContainerResponse, Error> {
    let config = request.config.ok_or_else(|| Error::Invalid("config: is missing".into()))?;
    let metadata = config.metadata.clone().filter(|m| !m.name.is_empty());
    let metadata = metadata.ok_or_else(|| Error::Invalid("config.metadata.name: is empty".into()))?;
    let pod = runtime.pod(&request.pod_sandbox_id)?;
    if pod.phase != SandboxPhase::Ready {
        return Err(Error::Precondition(format!("pod sandbox {} is not ready", pod.spec.id)));
    }
    let key = create_key(&format!("{}_{}_{}", pod.spec.id, metadata.name, metadata.attempt));
    let runtime_ = runtime.clone();
    let run = || async move { create_named(&runtime_, &pod, config, &metadata).await };
    Ok(cri::CreateContainerResponse { container_id: runtime.ops.run(key, run).await? })
}

async fn create_named(
    runtime: &Arc<Runtime>,
    pod: &SandboxEntry,
    config: cri::ContainerConfig,
    metadata: &cri::ContainerMetadata,
) -> Result<String, Error> {
    let same =
        |c: &ContainerEntry| c.sandbox == pod.spec.id && c.name == metadata.name && c.attempt == metadata.attempt;
    if let Some(found) = runtime.parts.store.containers.find(|c| same(c) && convert::container_visible(c)) {
        return Ok(found.id.clone());
    }
    // What an earlier, failed try left is no obstacle.
    if let Some(left) = runtime.parts.store.containers.find(same) {
        runtime.remove_container(&left.id).await?;
    }
    let entry = draft(runtime, pod, &config, metadata).await?;
    let id = entry.id.clone();
    runtime.parts.store.containers.put(entry.clone()).await?;
    match set_up(runtime, pod, &config, entry).await {
        Ok(()) => Ok(id),
        Err(error) => {
            if let Err(left) = runtime.remove_container(&id).await {
                tracing::error!(container = id, error = %left, "what a failed CreateContainer left is removed at the next start");
            }
            Err(error)
        }
    }
}

/// The entry as far as it is known before anything is made.
async fn draft(
    runtime: &Runtime,
    pod: &SandboxEntry,
    config: &cri::ContainerConfig,
    metadata: &cri::ContainerMetadata,
) -> Result<ContainerEntry, Error> {
    spec::refuse::container(config, &pod.spec)?;
    runtime.admit_container(pod, config).await?;
    let wanted = config.image.as_ref().map(|i| i.image.clone()).unwrap_or_default();
    let image = runtime.image(&wanted)?;
    let log_directory = convert::pod_config(pod).log_directory;
    let log_path = match (log_directory.is_empty(), config.log_path.is_empty()) {
        (false, false) => Path::new(&log_directory).join(&config.log_path),
        _ => PathBuf::new(),
    };
    Ok(ContainerEntry {
        id: ids::new(),
        sandbox: pod.spec.id.clone(),
        name: metadata.name.clone(),
        attempt: metadata.attempt,
        config: config.encode_to_vec(),
        process: Default::default(),
        image_id: image.id.clone(),
        image_ref: image.reference.clone(),
        log_path,
        stop_signal: spec::stop_signal(config, &image.defaults.stop_signal)?,
        resources: config.linux.as_ref().and_then(|l| l.resources.clone()).unwrap_or_default().encode_to_vec(),
        user: (0, 0, Vec::new()),
        phase: ContainerPhase::Creating,
        created_at: now(),
        started_at: 0,
        pid: 0,
        exit: None,
    })
}

async fn set_up(
    runtime: &Arc<Runtime>,
    pod: &SandboxEntry,
    config: &cri::ContainerConfig,
    entry: ContainerEntry,
) -> Result<(), Error> {
    let sandbox = runtime.sandbox_of(&entry)?;
    let (spec, identity) = assemble(runtime, pod, config, &entry).await?;
    let process = spec.oci.process().clone().unwrap_or_default();
    sandbox.check_container(&spec)?;
    runtime.program_ports(&pod.spec.id).await?;
    let log =
        if entry.log_path.as_os_str().is_empty() { None } else { Some(container_log::open(&entry.log_path)?.into()) };
    let staged = stage(&*sandbox, spec).await?;
    sandbox.pod().create(&staged, log).await?;
    let change = runtime.parts.store.containers.update(&entry.id, move |c| {
        c.process = process;
        c.user = (identity.uid, identity.gid, identity.groups);
        c.phase = ContainerPhase::Created;
    });
    let kept = change.await?.is_some();
    // A sandbox that ended meanwhile did not see this container, and nothing would ever end it.
    if !kept || runtime.live(&entry.sandbox).is_none() {
        return Err(Error::Precondition(format!("pod sandbox {} was stopped meanwhile", entry.sandbox)));
    }
    runtime.announce(&entry.id, &entry.sandbox, cri::ContainerEventType::ContainerCreatedEvent);
    Ok(())
}

async fn stage(
    sandbox: &dyn Sandbox,
    spec: cofferdam_sandbox::ContainerSpec,
) -> Result<cofferdam_sandbox::ContainerSpec, Error> {
    Ok(sandbox.stage(spec).await?)
}

async fn assemble(
    runtime: &Runtime,
    pod: &SandboxEntry,
    config: &cri::ContainerConfig,
    entry: &ContainerEntry,
) -> Result<(cofferdam_sandbox::ContainerSpec, spec::user::Identity), Error> {
    let image = runtime.image(&entry.image_id)?;
    let rootfs = runtime.parts.images.prepare_rootfs(&entry.id, &entry.image_id).await?;
    let volume_dir = runtime.volume_dir(&entry.id);
    make_dirs(&volume_dir, image.defaults.volumes.len(), config).await?;
    let rootfs = cofferdam_sandbox::ContainerRootfs { lower: rootfs.lowerdirs, upper: rootfs.upper, work: rootfs.work };
    let users = runtime.users.of_image(&entry.image_id, &rootfs)?;
    let facts = spec::Facts {
        id: &entry.id,
        config,
        sandbox: &pod.spec,
        image: &image.defaults,
        users: &users,
        rootfs,
        seccomp: seccomp(runtime, config)?,
        pod_dir: &runtime.pod_dir(&pod.spec.id),
        volume_dir,
    };
    Ok(spec::container_spec(&facts)?)
}

/// A privileged container has no filter, whatever it asks for: it could undo any.
fn seccomp(runtime: &Runtime, config: &cri::ContainerConfig) -> Result<Vec<u8>, Error> {
    let security = config.linux.as_ref().and_then(|l| l.security_context.clone()).unwrap_or_default();
    let profile = security.seccomp.as_ref().map(cri::SecurityProfile::profile_type);
    if security.privileged || profile.is_none_or(|p| p == cri::security_profile::ProfileType::Unconfined) {
        return Ok(Vec::new());
    }
    let added = spec::added_capabilities(&security);
    runtime
        .parts
        .seccomp
        .runtime_default(&added)
        .map_err(|e| Error::Internal(format!("seccomp profile RuntimeDefault: {e}")))
}

/// Directories of anonymous volumes, and host paths that do not exist yet: like other runtimes, a missing one is made
/// a directory.
async fn make_dirs(volume_dir: &Path, volumes: usize, config: &cri::ContainerConfig) -> Result<(), Error> {
    let own = (0..volumes).map(|i| volume_dir.join(i.to_string()));
    let asked = config.mounts.iter().map(|m| PathBuf::from(&m.host_path)).filter(|p| !p.exists());
    for dir in own.chain(asked) {
        tokio::fs::create_dir_all(&dir).await.map_err(|e| Error::Internal(format!("make {}: {e}", dir.display())))?;
    }
    Ok(())
}
