//! The VM sandbox, as the daemon uses it: [`VmFactory`] and its sandboxes, and the guest [`image`].
//!
//! What can be decided without a kernel is decided by pure functions (`size`, `plan`, `accel`); `share`, `sandbox` and
//! `factory` carry it out.
//!
//! ```text
//! STATE/pods/ID/            0700, root's
//!   vm.json                 UID and size: what must survive the daemon
//!   share/                  a tmpfs, shared; read-only for the guest
//!     CONTAINER/rootfs      its overlay, mounted by the daemon
//!     CONTAINER/mN          its volumes and files, in the order of its mounts
//! ```
//! Each VM has a UID of its own from [`VmConfig::first_uid`] on; two daemons on one node need different ranges.

mod accel;
mod boot;
mod check;
mod config;
mod factory;
pub mod image;
mod leftovers;
mod plan;
mod sandbox;
pub mod share;
mod size;
mod state;

pub use accel::Accel;
pub use config::VmConfig;
pub use factory::VmFactory;
pub use plan::{Bind, ReadOnly, ShareMount, StagePlan, plan};
pub use size::{MINIMUM, RESERVE, guest_memory};
pub use state::UIDS;
