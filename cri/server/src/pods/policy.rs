//! A pod of this node as network policy sees it, until the API tells more.

use std::collections::BTreeMap;

use cofferdam_cri_api::v1 as cri;
use cofferdam_netpolicy::{ContainerPort, LocalPod};
use cofferdam_sandbox::Lease;
use cofferdam_store::{Encoded, SandboxEntry};

/// What the sandbox's config and the containers made so far say.
pub(super) fn local_pod(entry: &SandboxEntry, lease: &Lease, ports: Vec<ContainerPort>) -> LocalPod {
    LocalPod {
        sandbox_id: entry.spec.id.clone(),
        namespace: entry.spec.namespace.clone(),
        name: entry.spec.name.clone(),
        uid: entry.spec.uid.clone(),
        labels: pod_labels(&entry.config),
        addresses: lease.addresses.clone(),
        interface: lease.interface.clone(),
        tenant: entry.spec.tenant.clone(),
        host_network: false,
        ports,
    }
}

/// kubelet adds labels of its own to those of the pod. `None` for a stored config that cannot be read: empty labels
/// would take the pod out of every policy that selects it.
fn pod_labels(config: &Encoded<cri::PodSandboxConfig>) -> Option<BTreeMap<String, String>> {
    let labels = config.labels.iter().filter(|(key, _)| !key.starts_with("io.kubernetes."));
    config.error().is_none().then(|| labels.map(|(k, v)| (k.clone(), v.clone())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_kubelet_are_not_the_pods() {
        let labels = [("io.kubernetes.pod.name", "web"), ("role", "client")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        let config = cri::PodSandboxConfig { labels: labels.into(), ..Default::default() };
        assert_eq!(pod_labels(&config.into()), Some([("role".to_owned(), "client".to_owned())].into()));
    }

    #[test]
    fn a_config_that_cannot_be_read_has_no_labels_rather_than_empty_ones() {
        assert_eq!(pod_labels(&cri::PodSandboxConfig::default().into()), Some(BTreeMap::new()));
        assert_eq!(pod_labels(&Encoded::from_bytes(vec![0, 255])), None);
    }
}
