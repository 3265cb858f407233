//! The pod protocol's client: starts, adopts and talks to shims.
//!
//! * [`Launcher`] starts a shim from a sealed copy of its binary, or finds one again after a restart
//!   ([`Launcher::adopt`]);
//! * [`Shim`] is one live shim: its [`cofferdam_sandbox::PodClient`], its identity, its end.
//!
//! A shim's death is noticed by its pidfd, never by a guess; what its containers left is killed before it is told
//! ([`cofferdam_sandbox::PodEvent::Gone`]). A shim that owes an answer for too long is hung, and is killed.

mod binary;
mod blocking;
mod client;
mod death;
pub mod files;
pub mod identity;
mod incoming;
mod launch;
mod lock;
mod requester;
mod shim;
mod socket;
mod streams;
mod waiting;

pub use blocking::blocking;
pub use cofferdam_cgroup as cgroup;
pub use launch::{Adopted, Launcher};
pub use shim::Shim;
