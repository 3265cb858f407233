//! A pod of this node as policy sees it, until the API tells more.

use std::collections::{BTreeMap, HashMap};

use cofferdam_netpolicy::{ContainerPort, LocalPod};
use cofferdam_sandbox::Lease;
use cofferdam_store::SandboxEntry;

use crate::{Error, Runtime, convert};

/// kubelet sends a container's ports as JSON in this annotation of the container, so a pod's named ports become known one
/// container at a time.
const PORTS: &str = "io.kubernetes.container.ports";

impl Runtime {
    /// What the sandbox's config and the containers made so far say.
    pub(crate) fn local_pod(&self, entry: &SandboxEntry, lease: &Lease) -> LocalPod {
        LocalPod {
            sandbox_id: entry.spec.id.clone(),
            namespace: entry.spec.namespace.clone(),
            name: entry.spec.name.clone(),
            uid: entry.spec.uid.clone(),
            labels: pod_labels(&convert::pod_config(entry).labels),
            addresses: lease.addresses.clone(),
            interface: lease.interface.clone(),
            tenant: entry.spec.tenant.clone(),
            host_network: false,
            ports: self.ports_of(&entry.spec.id),
        }
    }

    /// A container that declares ports may be what a policy's named port waits for: in force before its process runs.
    pub(crate) async fn program_ports(&self, sandbox: &str) -> Result<(), Error> {
        let ports = self.ports_of(sandbox);
        if ports.is_empty() {
            return Ok(());
        }
        Ok(self.parts.policy.set_ports(sandbox, ports).await?)
    }

    fn ports_of(&self, sandbox: &str) -> Vec<ContainerPort> {
        let containers = self.containers_of(sandbox);
        containers.iter().flat_map(|c| container_ports(&convert::container_config(c).annotations)).collect()
    }
}

/// What is not JSON of the expected form names no port.
fn container_ports(annotations: &HashMap<String, String>) -> Vec<ContainerPort> {
    annotations.get(PORTS).and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()
}

/// kubelet adds labels of its own to those of the pod.
fn pod_labels(labels: &HashMap<String, String>) -> BTreeMap<String, String> {
    labels.iter().filter(|(key, _)| !key.starts_with("io.kubernetes.")).map(|(k, v)| (k.clone(), v.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_come_from_kubelets_annotation_and_nonsense_names_none() {
        let of = |text: &str| container_ports(&HashMap::from([(PORTS.to_owned(), text.to_owned())]));
        let ports =
            of(r#"[{"name":"web","containerPort":8080,"protocol":"TCP"},{"containerPort":53,"protocol":"UDP"}]"#);
        assert_eq!((ports.len(), ports[0].name.as_str(), ports[0].container_port), (2, "web", 8080));
        assert!(of("{").is_empty() && container_ports(&HashMap::new()).is_empty());
    }

    #[test]
    fn labels_of_kubelet_are_not_the_pods() {
        let labels = [("io.kubernetes.pod.name", "web"), ("role", "client")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(pod_labels(&labels.into()), [("role".to_owned(), "client".to_owned())].into());
    }
}
