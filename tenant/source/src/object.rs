//! The objects of a directory, and what tells them apart.

use std::sync::Arc;

use cofferdam_tenant::TenantSpec;
use cofferdam_tenant_cluster::{ClusterPod, Labels};

/// Kind, namespace (empty for cluster-scoped objects) and name.
pub type ObjectKey = (&'static str, String, String);

/// An object that a directory may hold; `X` is an object of the further kinds.
#[derive(Debug, Clone, PartialEq)]
pub enum Object<X> {
    /// A Namespace and its labels.
    Namespace(String, Labels),
    /// A Tenant.
    Tenant(String, Arc<TenantSpec>),
    /// A Pod, which need not run on this node.
    Pod(Box<ClusterPod>),
    /// An object of a kind that is read elsewhere.
    Further(X),
}

/// An object with its place in a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Located<X> {
    /// What makes it unique.
    pub key: ObjectKey,
    /// The object.
    pub object: Object<X>,
    /// First line of its document.
    pub line: u64,
    /// Its document.
    pub text: String,
}
