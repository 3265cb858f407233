//! The namespace sandbox: containers of a pod in Linux namespaces of this node's kernel, run by a shim of the pod's
//! own.
//!
//! `plan` decides (pure), `cgroups` and `leftovers` do; [`NamespaceFactory`] is what the daemon wires.
//!
//! ```text
//!  create:  DIR/cgroups (what will be made) -> pod's cgroup -> shim -> it makes the namespaces and pins DIR/netns
//!  stop:    the shim ends its containers and itself -> what is left is killed, unmounted, removed
//! ```

mod cgroups;
mod factory;
mod leftovers;
mod limits;
mod plan;
mod sandbox;

pub use factory::NamespaceFactory;
