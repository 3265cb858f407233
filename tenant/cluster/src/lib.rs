//! Who is who in the cluster: Namespaces, Tenants, Pods and Nodes as one immutable snapshot. Pure.
//!
//! These are facts. Who may talk to whom is decided elsewhere: `netpolicy` takes the facts and adds its policies, and
//! nothing here knows of it.

mod facts;
mod labels;
pub mod null;
mod pod;

pub use facts::{ClusterFacts, Unread};
pub use labels::{Labels, NAME_LABEL};
pub use pod::{ClusterPod, ContainerPort};
