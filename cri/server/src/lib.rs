//! The CRI services.
//!
//! From the bottom up: `node` (settings and seams), `spec` (from a request's config to the spec of a sandbox or
//! container), `present` (from a record to what clients are shown), `containers` and `pods` (the lifecycles: the only
//! places that change records), `rpc` (one thin file for each RPC). The seams to sandboxes, network, policy, tenants
//! and images are traits, put together by the daemon.

mod admission;
mod clock;
mod containers;
mod error;
mod events;
mod files;
#[doc(hidden)]
pub mod fuzzing;
mod ids;
mod images;
mod live;
mod node;
mod operations;
mod own_volumes;
mod pod_cidrs;
mod pods;
mod present;
mod rpc;
mod runtime;
mod spec;
mod steps;
mod streams;

pub use error::Error;
pub use images::{DiskUsage, Images, ImagesError, StoredImage};
pub use node::{Parts, Settings};
pub use pod_cidrs::kept_pod_cidrs;
pub use rpc::{ImageServer, RuntimeServer};
pub use runtime::Runtime;
pub use steps::{Checkpoint, ContainerStep, Moment, PodStep, Step};
pub use streams::Backend;
