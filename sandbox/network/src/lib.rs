//! Pod networks: the built-in routed network and its address management.
//!
//! Each pod has one routed interface in the host's network namespace, a /32 and a /128 route, and a link-local gateway; no bridge.
//! [`BuiltinNetwork`] is the implementation, [`ipam`] decides addresses (pure), [`link`] and [`host`] say what the kernel is asked.

mod builtin;
mod conntrack;
mod host;
pub mod ipam;
mod link;
pub mod names;
mod netlink;
mod route;
mod wire;

pub use builtin::{BuiltinConfig, BuiltinNetwork};
