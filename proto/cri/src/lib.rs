//! CRI v1 as of k8s.io/cri-api v0.37.2: messages, services and clients.
//!
//! Everything is in [`v1`]; the definitions are in `proto/runtime/v1/`, one file a subject. They are our own text, but
//! the wire is upstream's: `tests/wire.rs` compares both, in both directions.

mod redact;

/// Package `runtime.v1`: messages, [`v1::runtime_service_server`], [`v1::image_service_server`] and their clients.
pub mod v1 {
    #![allow(missing_docs, clippy::all, rustdoc::all)]
    tonic::include_proto!("runtime.v1");
}

/// The descriptors of all files that [`v1`] was generated from, an encoded `google.protobuf.FileDescriptorSet`.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// What `VersionResponse.version` must be: kubelet compares it with this.
pub const KUBELET_RUNTIME_API_VERSION: &str = "0.1.0";
