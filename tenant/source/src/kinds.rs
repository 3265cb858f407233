//! The seam for objects that are kept in the same files as the facts, but are none.

use cofferdam_tenant_cluster::ClusterFacts;

use crate::document::{Document, FileError};
use crate::manifest::TypeMeta;
use crate::object::ObjectKey;

/// Kinds of object beside Namespace, Tenant and Pod, and the snapshot that has them and the facts together.
pub trait ObjectKinds: 'static {
    /// An object of one of these kinds.
    type Object: Clone + PartialEq + Send + Sync + 'static;

    /// The facts and these objects at one moment.
    type Snapshot: AsRef<ClusterFacts> + PartialEq + Send + Sync + 'static;

    /// Reads and checks the object of a document. `None`: it is of none of these kinds.
    fn read(type_meta: &TypeMeta, document: &Document<'_>) -> Option<Result<Self::Object, FileError>>;

    /// What makes an object unique.
    fn key(object: &Self::Object) -> ObjectKey;

    /// Puts the facts and the objects, in the order of their files, together.
    fn snapshot(facts: ClusterFacts, objects: Vec<Self::Object>) -> Self::Snapshot;
}
