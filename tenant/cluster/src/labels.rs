//! Labels of Kubernetes objects.

use std::collections::BTreeMap;

/// Labels of an object.
pub type Labels = BTreeMap<String, String>;

/// The label with which the API server names each Namespace. Objects in files may lack it.
pub const NAME_LABEL: &str = "kubernetes.io/metadata.name";
