//! What all Kubernetes objects have in common, read strictly: a field that nobody writes is an error.

use std::collections::BTreeMap;

use cofferdam_tenant_cluster::Labels;
use cofferdam_tenant_cluster::null::{labels, or_default};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::document::{Document, FileError};

/// `apiVersion` and `kind`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TypeMeta {
    /// Such as `networking.k8s.io/v1`.
    pub api_version: String,
    /// Such as `NetworkPolicy`.
    pub kind: String,
}

/// An object whose `spec` is a `T`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Manifest<T> {
    #[serde(rename = "apiVersion")]
    _api_version: IgnoredAny,
    #[serde(rename = "kind")]
    _kind: IgnoredAny,
    /// Its metadata.
    pub metadata: Metadata,
    /// Its spec, if there is one.
    #[serde(default = "Option::default")]
    pub spec: Option<T>,
    #[serde(rename = "status", default)]
    _status: Option<IgnoredAny>,
}

/// `metadata`. Fields that only the API server writes are known and passed over.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Metadata {
    /// The object's name.
    pub name: String,
    /// Its namespace, if it names one.
    #[serde(default)]
    pub namespace: Option<String>,
    /// Its labels.
    #[serde(default, deserialize_with = "labels")]
    pub labels: Labels,
    /// Its UID; empty when unknown.
    #[serde(default, deserialize_with = "or_default")]
    pub uid: String,
    #[serde(rename = "annotations", default)]
    _annotations: Option<BTreeMap<String, Option<String>>>,
    #[serde(rename = "creationTimestamp", default)]
    _created: Option<IgnoredAny>,
    #[serde(rename = "resourceVersion", default)]
    _version: Option<IgnoredAny>,
    #[serde(rename = "generation", default)]
    _generation: Option<IgnoredAny>,
    #[serde(rename = "managedFields", default)]
    _managed: Option<IgnoredAny>,
    #[serde(rename = "ownerReferences", default)]
    _owners: Option<IgnoredAny>,
    #[serde(rename = "finalizers", default)]
    _finalizers: Option<IgnoredAny>,
    #[serde(rename = "generateName", default)]
    _generate_name: Option<IgnoredAny>,
    #[serde(rename = "deletionTimestamp", default)]
    _deleted: Option<IgnoredAny>,
    #[serde(rename = "deletionGracePeriodSeconds", default)]
    _grace: Option<IgnoredAny>,
    #[serde(rename = "selfLink", default)]
    _self_link: Option<IgnoredAny>,
}

impl Metadata {
    /// Checks the names as the API server does: a Tenant called `*` would be every tenant.
    ///
    /// # Errors
    /// The name or namespace that is not a DNS name.
    pub fn check_names(&self, document: &Document<'_>) -> Result<(), FileError> {
        if !is_dns_name(&self.name) {
            return Err(document.field_error("metadata.name", &format!("{:?} is not a DNS name", self.name)));
        }
        match &self.namespace {
            Some(namespace) if !is_dns_name(namespace) => {
                Err(document.field_error("metadata.namespace", &format!("{namespace:?} is not a DNS name")))
            }
            _ => Ok(()),
        }
    }

    /// Checks the name of an object that belongs to no namespace.
    ///
    /// # Errors
    /// The name is not a DNS name, or a namespace is written.
    pub fn check_cluster_scoped(&self, document: &Document<'_>) -> Result<(), FileError> {
        self.check_names(document)?;
        match self.namespace {
            Some(_) => Err(document.field_error("metadata.namespace", "the object belongs to no namespace")),
            None => Ok(()),
        }
    }

    /// The namespace of a namespaced object, as kubectl fills it in.
    pub fn namespace_or_default(&self) -> String {
        self.namespace.clone().unwrap_or_else(|| "default".into())
    }
}

fn is_dns_name(name: &str) -> bool {
    let is_label = |part: &str| {
        let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
            && ends(part.chars().next())
            && ends(part.chars().last())
    };
    name.len() <= 253 && name.split('.').all(is_label)
}
