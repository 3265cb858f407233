//! Network policy: types, the evaluator, the compiler (snapshot to rules), the diff. Pure.

pub mod backend;
pub mod cluster;
pub mod diff;
pub mod engine;
pub mod ir;
pub mod policy;

pub use cluster::{ClusterPod, ClusterSnapshot};
pub use engine::{ContainerPort, Decision, Explanation, LocalPod, PolicyEngine, PolicyError, PolicySource, Verdict};
