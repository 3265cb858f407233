//! Network policy: types, the evaluator, the compiler (snapshot to rules), the diff. Pure.

pub mod backend;
mod base;
pub mod cluster;
pub mod compile;
pub mod diff;
pub mod engine;
pub mod evaluate;
pub mod ir;
pub mod policy;
pub mod span;
pub mod terms;
pub mod world;

pub use cluster::{ClusterPod, ClusterSnapshot};
pub use compile::compile;
pub use engine::{ContainerPort, Decision, Explanation, LocalPod, PolicyEngine, PolicyError, PolicySource, Verdict};
pub use world::NodeConfig;
