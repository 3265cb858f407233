//! A real cluster of one node on Cofferdam: etcd, the control plane, kubelet and kube-proxy as processes, CoreDNS as
//! a Deployment.
//!
//! Everything runs in the host network namespace of one [`cofferdam_test_support::Daemon`]. Nothing outside it is
//! needed: the images come from the daemon's registry, as mirrors of the registries whose names upstream's tests use.

mod addons;
mod addresses;
mod bed;
mod component;
mod conformance;
mod control_plane;
mod credentials;
mod kubectl;
mod node;
mod tools;

pub use bed::Cluster;
pub use conformance::{Specs, conforms};
pub use kubectl::Kubectl;
