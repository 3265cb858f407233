//! Network policy: types, the evaluator, the compiler (snapshot to rules), the diff. Pure.

pub mod address_range;
pub mod backend;
mod base_chains;
mod class_chains;
pub mod compile;
pub mod diff;
pub mod evaluate;
mod explanation;
mod family;
mod inside;
pub mod ir;
mod local_pod;
mod named_sets;
mod node;
pub mod policy;
mod policy_engine;
pub mod policy_limit;
mod policy_source;
pub mod semantics;
mod snapshot;
mod source_check;
pub mod topology;

pub use cofferdam_tenant_cluster::ContainerPort;
pub use compile::compile;
pub use explanation::{Decision, Explanation, Verdict};
pub use inside::is_nat64_prefix;
pub use local_pod::LocalPod;
pub use node::NodeConfig;
pub use policy_engine::{PolicyEngine, PolicyError};
pub use policy_source::PolicySource;
pub use snapshot::PolicySnapshot;
