//! Pods of `apply`: what kubelet would make of a Pod object, on a node that has no kubelet.
//!
//! [`manifest`] is what a file may say; [`check`] what it must ([`locate`] finds the line); [`convert`] makes CRI
//! messages of it, purely; [`files`] makes the directories that they name; [`run()`] sends them.

mod check;
mod convert;
mod expand;
mod files;
mod locate;
mod manifest;
mod placement;
mod resources;
mod run;
mod security;

pub use check::parse_pod;
pub use manifest::{PodManifest, RestartPolicy};
pub use run::{Node, Outcome, delete, run};
