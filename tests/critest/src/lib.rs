//! critest of cri-tools against the daemon.
//!
//! [`Suite`] starts a daemon whose registries are mirrored by the test images' one and runs critest in its network
//! namespace. The report is compared with the list of the specs that are known not to pass, with a reason each.

mod binary;
mod host;
mod suite;

pub use suite::{Suite, rerun_failed};
