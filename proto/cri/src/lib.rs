//! CRI v1 as of k8s.io/cri-api v0.37.2: messages, services and clients.
//!
//! The protos are this project's own; a test compares them to the module's `api.proto`, field by field.

/// Package `runtime.v1`.
#[allow(missing_docs, clippy::all)]
pub mod v1 {
    tonic::include_proto!("runtime.v1");
}
