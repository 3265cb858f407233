//! Pods through CRI, as kubelet would: sandbox, images, containers; whatever fails, nothing is left.

use std::path::{Path, PathBuf};

use cofferdam_cri_api::v1 as cri;

use super::convert::{APPLIED, DEFAULT_GRACE, GRACE};
use super::manifest::{Container, PodManifest, PullPolicy};
use super::placement::Placement;
use super::{convert, files, security};
use crate::cli::connect::Clients;
use crate::cli::error::CliError;
use crate::cli::pull::pull_with_progress;

/// Where the daemon and kubelet keep files of pods on this node.
#[derive(Debug, Clone)]
pub struct Node {
    root: PathBuf,
    kubelet: Option<PathBuf>,
    memory: u64,
}

/// What became of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It runs now.
    Created,
    /// It ran already.
    Unchanged,
    /// It is gone now.
    Deleted,
    /// It was not there.
    Absent,
}

impl Node {
    /// Asks the daemon.
    pub async fn of(clients: &mut Clients) -> Result<Self, CliError> {
        let status = clients.admin.status(cofferdam_admin_api::v1::StatusRequest {}).await?.into_inner();
        let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let total = meminfo.lines().find_map(|l| l.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB"));
        Ok(Node {
            root: status.root.into(),
            kubelet: status.kubelet_roots.into_iter().next().map(PathBuf::from),
            memory: total.and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) << 10,
        })
    }

    fn log_directory(&self, namespace: &str, name: &str, uid: &str) -> PathBuf {
        self.root.join("logs").join(format!("{namespace}_{name}_{uid}"))
    }

    fn pod_directory(&self, uid: &str) -> PathBuf {
        // Without kubelet's root every volume is a hostPath, which the tenant decides about.
        self.kubelet.as_deref().unwrap_or(&self.root).join("pods").join(uid)
    }
}

/// Runs a pod, unless it runs already.
///
/// # Errors
/// One runs already from another manifest; the daemon's refusals; nothing is left behind then.
pub async fn run(clients: &mut Clients, node: &Node, pod: &PodManifest) -> Result<Outcome, CliError> {
    for old in find(clients, pod.namespace(), &pod.metadata.name).await? {
        if old.state() != cri::PodSandboxState::SandboxReady {
            remove(clients, node, &old, None).await?;
        } else if old.annotations.get(APPLIED) == Some(&convert::digest(pod)) {
            return Ok(Outcome::Unchanged);
        } else {
            return Err(CliError::Other(format!("pod {pod} runs already from another manifest: delete it first")));
        }
    }
    let placement = place(clients, node, pod).await?;
    let images = images(clients, pod).await?;
    let made = files::make(pod, &placement);
    let started = match made {
        Ok(()) => start(clients, pod, &placement, &images).await,
        Err(error) => Err(error),
    };
    if let Err(error) = started {
        for sandbox in find(clients, pod.namespace(), &pod.metadata.name).await? {
            remove(clients, node, &sandbox, Some(0)).await?;
        }
        files::remove(&placement.log_directory, &placement.directory)?;
        return Err(error);
    }
    Ok(Outcome::Created)
}

/// Stops and removes a pod.
///
/// # Errors
/// The daemon's; what is gone already is none.
pub async fn delete(
    clients: &mut Clients,
    node: &Node,
    namespace: &str,
    name: &str,
    grace: Option<u32>,
) -> Result<Outcome, CliError> {
    let found = find(clients, namespace, name).await?;
    for sandbox in &found {
        remove(clients, node, sandbox, grace).await?;
    }
    Ok(if found.is_empty() { Outcome::Absent } else { Outcome::Deleted })
}

async fn find(clients: &mut Clients, namespace: &str, name: &str) -> Result<Vec<cri::PodSandbox>, CliError> {
    let all = clients.runtime.list_pod_sandbox(cri::ListPodSandboxRequest { filter: None }).await?.into_inner();
    let is_it = |s: &cri::PodSandbox| s.metadata.as_ref().is_some_and(|m| m.namespace == namespace && m.name == name);
    Ok(all.items.into_iter().filter(is_it).collect())
}

async fn place(clients: &mut Clients, node: &Node, pod: &PodManifest) -> Result<Placement, CliError> {
    let path = Path::new("/proc/sys/kernel/random/uuid");
    let uid = std::fs::read_to_string(path).map_err(CliError::io(path))?.trim().to_owned();
    let own_users = pod.spec.host_users == Some(false);
    Ok(Placement {
        log_directory: node.log_directory(pod.namespace(), &pod.metadata.name, &uid),
        directory: node.pod_directory(&uid),
        first_host_id: if own_users { Some(free_host_ids(clients).await?) } else { None },
        node_memory: node.memory,
        uid,
    })
}

/// The first block of host ids that no pod's user namespace has: two pods in one would have power over each other.
async fn free_host_ids(clients: &mut Clients) -> Result<u32, CliError> {
    let all = clients.runtime.list_pod_sandbox(cri::ListPodSandboxRequest { filter: None }).await?.into_inner();
    let mut taken = Vec::new();
    for sandbox in all.items {
        let request = cri::PodSandboxStatusRequest { pod_sandbox_id: sandbox.id, verbose: false };
        let status = match clients.runtime.pod_sandbox_status(request).await {
            Ok(answer) => answer.into_inner().status,
            Err(gone) if gone.code() == tonic::Code::NotFound => None,
            Err(error) => return Err(error.into()),
        };
        let options = status.and_then(|s| s.linux?.namespaces?.options?.userns_options);
        taken.extend(options.into_iter().flat_map(|user| user.uids).map(|m| (m.host_id, m.length)));
    }
    first_free(&taken).ok_or_else(|| CliError::Other("every block of host ids belongs to a pod".into()))
}

fn first_free(taken: &[(u32, u32)]) -> Option<u32> {
    let size = u64::from(security::USER_IDS);
    let meets = |block: u64| {
        taken.iter().any(|(first, n)| {
            let (first, n) = (u64::from(*first), u64::from(*n));
            block < first + n && first < block + size
        })
    };
    // Not the first block: the node's own users. Not the last: its end is no id.
    (1..65535u64).map(|i| i * size).find(|block| !meets(*block)).and_then(|block| u32::try_from(block).ok())
}

/// Pulls what is needed, before anything is made.
async fn images(clients: &mut Clients, pod: &PodManifest) -> Result<Vec<cri::Image>, CliError> {
    let mut images = Vec::new();
    for container in &pod.spec.containers {
        let mut image = status(clients, &container.image).await?;
        if must_pull(container, image.is_some()) {
            pull_with_progress(clients, &container.image, None).await?;
            image = status(clients, &container.image).await?;
        }
        let name = &container.image;
        let image = image.ok_or_else(|| {
            CliError::Other(format!("pod {pod}: image {name:?} is not here, and imagePullPolicy is Never"))
        })?;
        if let Some(why) = security::would_be_root(pod, container, &image) {
            return Err(CliError::Other(format!("pod {pod}: {why}")));
        }
        images.push(image);
    }
    Ok(images)
}

fn must_pull(container: &Container, present: bool) -> bool {
    match container.image_pull_policy {
        Some(PullPolicy::Always) => true,
        Some(PullPolicy::Never) => false,
        Some(PullPolicy::IfNotPresent) => !present,
        // As Kubernetes has it for the tag that moves.
        None => !present || is_latest(&container.image),
    }
}

fn is_latest(image: &str) -> bool {
    let last = image.rsplit('/').next().unwrap_or(image);
    !image.contains('@') && (last.ends_with(":latest") || !last.contains(':'))
}

async fn status(clients: &mut Clients, image: &str) -> Result<Option<cri::Image>, CliError> {
    let spec = cri::ImageSpec { image: image.to_owned(), ..Default::default() };
    let request = cri::ImageStatusRequest { image: Some(spec), verbose: false };
    let answer = clients.images.image_status(request).await.map_err(CliError::at(format!("image {image}")))?;
    Ok(answer.into_inner().image)
}

async fn start(
    clients: &mut Clients,
    pod: &PodManifest,
    at: &Placement,
    images: &[cri::Image],
) -> Result<(), CliError> {
    let config = convert::sandbox(pod, at);
    let request = cri::RunPodSandboxRequest { config: Some(config.clone()), runtime_handler: convert::handler(pod) };
    let sandbox = clients.runtime.run_pod_sandbox(request).await.map_err(CliError::at(format!("pod {pod}")))?;
    let sandbox = sandbox.into_inner().pod_sandbox_id;
    for (container, image) in pod.spec.containers.iter().zip(images) {
        let failed = || CliError::at(format!("pod {pod}, container {}", container.name));
        let request = cri::CreateContainerRequest {
            pod_sandbox_id: sandbox.clone(),
            config: Some(convert::container(pod, container, at, image)),
            sandbox_config: Some(config.clone()),
        };
        let created = clients.runtime.create_container(request).await.map_err(failed())?.into_inner();
        let request = cri::StartContainerRequest { container_id: created.container_id };
        clients.runtime.start_container(request).await.map_err(failed())?;
    }
    Ok(())
}

/// Stops the containers together, each with its grace, then the sandbox; removes it and its files.
async fn remove(
    clients: &mut Clients,
    node: &Node,
    sandbox: &cri::PodSandbox,
    grace: Option<u32>,
) -> Result<(), CliError> {
    let filter = cri::ContainerFilter { pod_sandbox_id: sandbox.id.clone(), ..Default::default() };
    let request = cri::ListContainersRequest { filter: Some(filter) };
    let containers = clients.runtime.list_containers(request).await?.into_inner().containers;
    let stops = containers.into_iter().map(|container| {
        let own = container.annotations.get(GRACE).and_then(|seconds| seconds.parse().ok());
        let timeout = i64::from(grace.or(own).unwrap_or(DEFAULT_GRACE));
        let mut runtime = clients.runtime.clone();
        async move { runtime.stop_container(cri::StopContainerRequest { container_id: container.id, timeout }).await }
    });
    futures::future::try_join_all(stops).await?;
    let id = sandbox.id.clone();
    clients.runtime.stop_pod_sandbox(cri::StopPodSandboxRequest { pod_sandbox_id: id.clone() }).await?;
    clients.runtime.remove_pod_sandbox(cri::RemovePodSandboxRequest { pod_sandbox_id: id }).await?;
    // Only of a pod that `apply` made: another client's files are its own.
    if let Some(metadata) = sandbox.metadata.as_ref().filter(|_| sandbox.annotations.contains_key(APPLIED)) {
        let logs = node.log_directory(&metadata.namespace, &metadata.name, &metadata.uid);
        files::remove(&logs, &node.pod_directory(&metadata.uid))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_another_pod_are_never_taken() {
        assert_eq!(first_free(&[]), Some(65536));
        assert_eq!(first_free(&[(65536, 65536), (196_608, 10)]), Some(131_072));
        assert_eq!(first_free(&[(70_000, 65536)]), Some(196_608));
        assert_eq!(first_free(&[(0, u32::MAX)]), None);
    }

    #[test]
    fn a_tag_that_moves_is_pulled_again() {
        for (image, latest) in
            [("a", true), ("h:5000/a", true), ("h:5000/a:latest", true), ("a:1", false), ("a@sha256:0", false)]
        {
            assert_eq!(is_latest(image), latest, "{image}");
        }
    }
}
