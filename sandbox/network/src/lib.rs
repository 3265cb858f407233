//! Pod networks: the built-in routed network and its address management.
//!
//! Each pod has one routed interface in the host's network namespace, a /32 and a /128 route, and a link-local gateway;
//! no bridge. [`BuiltinNetwork`] is the implementation, [`ipam`] decides addresses (pure), `link` and `host` say what
//! the kernel is asked.
//!
//! Without its default feature `node` only [`configure_guest`] is left: the pod's end of a link, for the agent of a VM.

#[cfg(feature = "node")]
mod builtin;
#[cfg(feature = "node")]
mod conntrack;
#[cfg(feature = "node")]
mod expected;
#[cfg(feature = "node")]
mod host;
#[cfg(feature = "node")]
pub mod ipam;
#[cfg(feature = "node")]
mod link;
#[cfg(feature = "node")]
pub mod names;
#[cfg_attr(not(feature = "node"), allow(dead_code))]
mod netlink;
mod pod;
#[cfg(feature = "node")]
mod quarantine;
#[cfg(feature = "node")]
mod repair;
#[cfg_attr(not(feature = "node"), allow(dead_code))]
mod route;
#[cfg(feature = "node")]
mod state;
#[cfg_attr(not(feature = "node"), allow(dead_code))]
mod wire;

#[cfg(feature = "node")]
pub use builtin::{BuiltinConfig, BuiltinNetwork};
pub use pod::{POD_INTERFACE, configure_guest};
