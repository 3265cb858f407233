//! From CRI's configs to the specs of sandboxes and containers: pure, but for the look at device nodes. What else has
//! to be looked up is handed in.
//!
//! Every field of ContainerConfig and Mount is honoured here or refused with its name; [`refuse`] holds the list of
//! what is refused.

mod capabilities;
mod cgroup;
mod container;
mod devices;
mod env;
mod error;
pub(crate) mod ids;
mod inputs;
mod linux;
mod mounts;
mod namespaces;
mod pod;
mod process;
pub(crate) mod refuse;
mod resolv_conf;
pub(crate) mod resources;
pub(crate) mod user;

pub(crate) use capabilities::held as held_capabilities;
pub(crate) use container::container_spec;
pub(crate) use error::SpecError;
pub(crate) use inputs::{ContainerInputs, ImageDefaults};
pub(crate) use pod::{PodInputs, is_vm, own_limits, sandbox_spec};
pub(crate) use process::{signal_name, stop_signal};
