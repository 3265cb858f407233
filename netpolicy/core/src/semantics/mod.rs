//! What a pod may send and receive, as lists of terms: the one place that knows the semantics of policies and tenants.
//!
//! The evaluator asks the terms directly, the compiler writes them as rules. A flow needs one term of the tenant's list
//! and, where a policy isolates the direction, one of the policies' list; at the source for egress and at the
//! destination for ingress.

mod allow_lists;
mod network_policy;
mod peers;
mod tenant;
mod term;

pub use allow_lists::{AllowLists, allow_lists};
pub use term::{PeerMatch, PortRange, Ports, Term};
