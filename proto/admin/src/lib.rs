//! The admin service of the CLI: what CRI has no RPC for. It is served on the same socket as CRI.
//!
//! The definition is `proto/cofferdam/admin/v1/admin.proto`. Client and daemon are of one release, yet changes are
//! additive: a CLI left open over an upgrade still works.

/// Package `cofferdam.admin.v1`: messages, [`v1::admin_server`] and [`v1::admin_client`].
pub mod v1 {
    #![allow(missing_docs, clippy::all, rustdoc::all)]
    tonic::include_proto!("cofferdam.admin.v1");
}
