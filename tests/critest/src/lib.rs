//! critest of cri-tools against the daemon.
//!
//! [`Suite`] starts a daemon whose registries are mirrored by the test images' one and runs critest in its network
//! namespace; [`junit`] reads the report, [`Expected`] is the list of the specs that are known not to pass, with a
//! reason each, and compares the two.

mod binary;
mod expected;
mod host;
pub mod junit;
mod suite;

pub use expected::{Expected, Outcomes};
pub use suite::{Suite, rerun_failed};
