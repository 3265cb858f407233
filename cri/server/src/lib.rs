//! The CRI services: one file per RPC.
//!
//! `rpc` holds the RPCs, each a thin function; `pods`, `containers`, `watch`, `release` and `recover` what several of them
//! share; `spec` turns a CRI config into a container's spec. The seams to sandboxes, network, policy, tenants and images
//! are traits, put together by `cri/daemon`.

mod cgroup;
mod containers;
mod convert;
mod error;
mod filter;
mod ids;
mod images;
mod instrument;
mod local_pod;
mod ops;
mod pod_cidrs;
mod pod_files;
mod pods;
mod recover;
mod release;
mod rpc;
mod runtime;
mod spec;
mod streams;
mod tenancy;
mod user_files;
mod view;
mod watch;

pub use error::Error;
pub use pod_cidrs::kept_pod_cidrs;
pub use rpc::{ImageServer, RuntimeServer};
pub use runtime::{Parts, Runtime, Settings};
pub use streams::Backend;
