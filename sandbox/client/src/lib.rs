//! The pod protocol's client: starts, adopts and talks to shims.
//!
//! * [`Launcher`] starts a shim from a sealed copy of its binary, or finds one again after a restart ([`Launcher::adopt`]);
//! * [`Shim`] is one live shim: its [`cofferdam_sandbox::PodClient`], its identity, its end;
//! * [`fake`] is a pod without any process, for the tests of others.
//!
//! A shim's death is noticed by its pidfd, never by a guess; what its containers left is killed before it is told
//! ([`cofferdam_sandbox::PodEvent::Gone`]).

mod binary;
pub mod cgroup;
mod client;
mod death;
pub mod fake;
pub mod identity;
mod launch;
mod link;
mod shim;
mod socket;
mod streams;

pub use launch::{Adopted, Launcher};
pub use shim::Shim;
