//! From a Pod to the messages of CRI. Pure: what the node decides is in [`Placement`].

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use cofferdam_cri_api::v1 as cri;
use sha2::{Digest as _, Sha256};

use super::expand::expand;
use super::manifest::{Container, DnsPolicy, PodManifest, Propagation, Protocol, Volume};
use super::placement::Placement;
use super::{resources, security};

/// What `apply` knows its pods by: a digest of the manifest.
pub(super) const APPLIED: &str = "cofferdam.dev/applied";
/// The annotation by which kubelet gives a container's ports, as JSON.
const PORTS: &str = "io.kubernetes.container.ports";
/// The annotation by which kubelet gives a container's seconds from SIGTERM to SIGKILL.
pub(super) const GRACE: &str = "io.kubernetes.pod.terminationGracePeriod";
/// Kubernetes' default for it.
pub(super) const DEFAULT_GRACE: u32 = 30;

/// Digest of what the file says; its comments and its layout do not count.
pub(super) fn digest(pod: &PodManifest) -> String {
    let json = serde_json::to_vec(pod).unwrap_or_default();
    Sha256::digest(json).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// The runtime handler: those of the shipped RuntimeClasses by their names, any other name as it is.
pub(super) fn handler(pod: &PodManifest) -> String {
    let class = pod.spec.runtime_class_name.as_deref().unwrap_or_default();
    class.strip_prefix("cofferdam-").unwrap_or(class).to_owned()
}

/// The sandbox.
pub(super) fn sandbox(pod: &PodManifest, placement: &Placement) -> cri::PodSandboxConfig {
    let spec = &pod.spec;
    let (name, namespace) = (pod.metadata.name.clone(), pod.namespace().to_owned());
    let mut labels: HashMap<String, String> = pod.metadata.labels.clone().into_iter().collect();
    labels.extend([
        ("io.kubernetes.pod.name".to_owned(), name.clone()),
        ("io.kubernetes.pod.namespace".to_owned(), namespace.clone()),
        ("io.kubernetes.pod.uid".to_owned(), placement.uid.clone()),
    ]);
    let mut annotations: HashMap<String, String> = pod.metadata.annotations.clone().into_iter().collect();
    annotations.insert(APPLIED.to_owned(), digest(pod));
    annotations.insert(PORTS.to_owned(), ports(&spec.containers));
    cri::PodSandboxConfig {
        metadata: Some(cri::PodSandboxMetadata { name, uid: placement.uid.clone(), namespace, attempt: 0 }),
        // With the node's network the name is the node's, as with kubelet.
        hostname: if spec.host_network { String::new() } else { hostname(pod) },
        log_directory: text(&placement.log_directory),
        dns_config: dns(pod),
        port_mappings: spec.containers.iter().flat_map(|c| &c.ports).map(port_mapping).collect(),
        labels,
        annotations,
        linux: Some(cri::LinuxPodSandboxConfig {
            security_context: Some(security::sandbox(pod, placement)),
            sysctls: spec.security_context.sysctls.iter().map(|s| (s.name.clone(), s.value.clone())).collect(),
            resources: Some(resources::pod(spec)),
            ..Default::default()
        }),
        windows: None,
    }
}

fn hostname(pod: &PodManifest) -> String {
    let name = pod.spec.hostname.as_ref().unwrap_or(&pod.metadata.name);
    name.chars().take(63).collect::<String>().trim_end_matches(['-', '.']).to_owned()
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn dns(pod: &PodManifest) -> Option<cri::DnsConfig> {
    let config = pod.spec.dns_config.as_ref().filter(|_| pod.spec.dns_policy == DnsPolicy::None)?;
    let option = |o: &super::manifest::DnsOption| match &o.value {
        Some(value) => format!("{}:{value}", o.name),
        None => o.name.clone(),
    };
    Some(cri::DnsConfig {
        servers: config.nameservers.clone(),
        searches: config.searches.clone(),
        options: config.options.iter().map(option).collect(),
    })
}

fn port_mapping(port: &super::manifest::Port) -> cri::PortMapping {
    let protocol = match port.protocol {
        Protocol::Tcp => cri::Protocol::Tcp,
        Protocol::Udp => cri::Protocol::Udp,
        Protocol::Sctp => cri::Protocol::Sctp,
    };
    cri::PortMapping {
        protocol: protocol.into(),
        container_port: port.container_port.into(),
        host_port: port.host_port.into(),
        host_ip: port.host_ip.clone(),
    }
}

/// Policies that name a port need it before the first packet.
fn ports<'a>(containers: impl IntoIterator<Item = &'a Container>) -> String {
    let ports: Vec<_> = containers.into_iter().flat_map(|c| &c.ports).collect();
    serde_json::to_string(&ports).unwrap_or_default()
}

/// A container. `image`: what ImageStatus answered for the name in the file.
pub(super) fn container(
    pod: &PodManifest,
    container: &Container,
    placement: &Placement,
    image: &cri::Image,
) -> cri::ContainerConfig {
    let env = environment(container);
    let words = |words: &[String]| words.iter().map(|word| expand(word, &env)).collect();
    let grace = pod.spec.termination_grace_period_seconds.unwrap_or(DEFAULT_GRACE);
    cri::ContainerConfig {
        metadata: Some(cri::ContainerMetadata { name: container.name.clone(), attempt: 0 }),
        image: Some(cri::ImageSpec {
            image: image.id.clone(),
            user_specified_image: container.image.clone(),
            ..Default::default()
        }),
        command: words(&container.command),
        args: words(&container.args),
        working_dir: container.working_dir.clone(),
        envs: container
            .env
            .iter()
            .map(|v| cri::KeyValue { key: v.name.clone(), value: env[v.name.as_str()].clone().into_bytes() })
            .collect(),
        mounts: container.volume_mounts.iter().filter_map(|m| mount(pod, m, placement)).collect(),
        labels: HashMap::from([
            ("io.kubernetes.container.name".to_owned(), container.name.clone()),
            ("io.kubernetes.pod.name".to_owned(), pod.metadata.name.clone()),
            ("io.kubernetes.pod.namespace".to_owned(), pod.namespace().to_owned()),
            ("io.kubernetes.pod.uid".to_owned(), placement.uid.clone()),
        ]),
        annotations: HashMap::from([(PORTS.to_owned(), ports([container])), (GRACE.to_owned(), grace.to_string())]),
        log_path: format!("{}.log", container.name),
        stdin: container.stdin,
        stdin_once: container.stdin_once,
        tty: container.tty,
        linux: Some(cri::LinuxContainerConfig {
            resources: Some(resources::container(&pod.spec, &container.resources, placement.node_memory)),
            security_context: Some(security::container(pod, container, placement, image)),
        }),
        ..Default::default()
    }
}

/// Each variable may use those before it.
fn environment(container: &Container) -> BTreeMap<&str, String> {
    let mut env = BTreeMap::new();
    for variable in &container.env {
        let value = expand(&variable.value, &env);
        env.insert(variable.name.as_str(), value);
    }
    env
}

fn mount(pod: &PodManifest, mount: &super::manifest::VolumeMount, placement: &Placement) -> Option<cri::Mount> {
    let volume: &Volume = pod.spec.volumes.iter().find(|v| v.name == mount.name)?;
    let host_path = match &volume.host_path {
        Some(host) => host.path.clone(),
        None => text(&placement.empty_dir(&volume.name)),
    };
    let propagation = match mount.mount_propagation {
        Propagation::None => cri::MountPropagation::PropagationPrivate,
        Propagation::HostToContainer => cri::MountPropagation::PropagationHostToContainer,
        Propagation::Bidirectional => cri::MountPropagation::PropagationBidirectional,
    };
    Some(cri::Mount {
        container_path: mount.mount_path.clone(),
        host_path,
        readonly: mount.read_only,
        propagation: propagation.into(),
        uid_mappings: security::id_mappings(placement),
        gid_mappings: security::id_mappings(placement),
        ..Default::default()
    })
}

#[cfg(test)]
mod tests;
