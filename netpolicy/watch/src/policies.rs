//! NetworkPolicies among the objects of a directory.

use std::sync::Arc;

use cofferdam_netpolicy::PolicySnapshot;
use cofferdam_netpolicy::policy::{NetworkPolicy, PolicySpec};
use cofferdam_tenant_cluster::ClusterFacts;
use cofferdam_tenant_source::{Document, FileError, Manifest, ObjectKey, ObjectKinds, TypeMeta};

/// The kinds of policy that a directory may hold.
pub enum PolicyKinds {}

impl ObjectKinds for PolicyKinds {
    type Object = Arc<NetworkPolicy>;
    type Snapshot = PolicySnapshot;

    fn read(type_meta: &TypeMeta, document: &Document<'_>) -> Option<Result<Self::Object, FileError>> {
        match (type_meta.api_version.as_str(), type_meta.kind.as_str()) {
            ("networking.k8s.io/v1", "NetworkPolicy") => Some(network_policy(document).map(Arc::new)),
            (_, "ClusterNetworkPolicy") => {
                Some(Err(document.field_error("kind", "ClusterNetworkPolicy is not supported yet")))
            }
            _ => None,
        }
    }

    fn key(policy: &Self::Object) -> ObjectKey {
        ("NetworkPolicy", policy.namespace.clone(), policy.name.clone())
    }

    fn snapshot(facts: ClusterFacts, policies: Vec<Self::Object>) -> PolicySnapshot {
        PolicySnapshot { facts, policies }
    }
}

fn network_policy(document: &Document<'_>) -> Result<NetworkPolicy, FileError> {
    let manifest: Manifest<PolicySpec> = document.read()?;
    manifest.metadata.check_names(document)?;
    let spec = manifest.spec.unwrap_or_default();
    spec.check().map_err(|reason| {
        let (path, reason) = reason.split_once(": ").unwrap_or(("", &reason));
        document.field_error(path, reason)
    })?;
    Ok(NetworkPolicy { namespace: manifest.metadata.namespace_or_default(), name: manifest.metadata.name, spec })
}
