//! The configuration: `/etc/cofferdam/config.toml` with drop-ins in `config.toml.d/`, every key with a default.

mod file;
mod load;
mod supported;

pub use file::{CgroupDriver, ClusterSource, Config, Log, NetworkMode, Unlabelled, VmAccel};
pub use load::{ConfigError, default_path, load};
pub use supported::{log_filter, supported, without_effect};
