//! A pod of this node as network policy sees it, until the API tells more.

use std::collections::{BTreeMap, HashMap};

use cofferdam_netpolicy::{ContainerPort, LocalPod};
use cofferdam_sandbox::Lease;
use cofferdam_store::SandboxEntry;

/// What the sandbox's config and the containers made so far say.
pub(super) fn local_pod(entry: &SandboxEntry, lease: &Lease, ports: Vec<ContainerPort>) -> LocalPod {
    LocalPod {
        sandbox_id: entry.spec.id.clone(),
        namespace: entry.spec.namespace.clone(),
        name: entry.spec.name.clone(),
        uid: entry.spec.uid.clone(),
        labels: pod_labels(&entry.config.labels),
        addresses: lease.addresses.clone(),
        interface: lease.interface.clone(),
        tenant: entry.spec.tenant.clone(),
        host_network: false,
        ports,
    }
}

/// kubelet adds labels of its own to those of the pod.
fn pod_labels(labels: &HashMap<String, String>) -> BTreeMap<String, String> {
    labels.iter().filter(|(key, _)| !key.starts_with("io.kubernetes.")).map(|(k, v)| (k.clone(), v.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_kubelet_are_not_the_pods() {
        let labels = [("io.kubernetes.pod.name", "web"), ("role", "client")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(pod_labels(&labels.into()), [("role".to_owned(), "client".to_owned())].into());
    }
}
