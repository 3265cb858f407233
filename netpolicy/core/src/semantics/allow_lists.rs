//! The lists of terms of a pod: its tenant's, and its policies'.

use super::term::Term;
use super::{network_policy, tenant};
use crate::policy::PolicyType;
use crate::policy_limit::over_limit;
use crate::topology::{Pod, Topology};

/// What one pod may send, or receive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowLists {
    /// What the tenant allows.
    pub tenant: Vec<Term>,
    /// What NetworkPolicies allow; `None`: no policy isolates this direction.
    pub policy: Option<Vec<Term>>,
    /// The policies that isolate it.
    pub isolated_by: Vec<String>,
}

/// The terms of a pod in one direction.
pub fn allow_lists(topology: &Topology<'_>, pod: &Pod, direction: PolicyType) -> AllowLists {
    let tenant = match direction {
        PolicyType::Egress => tenant::egress(topology, pod),
        PolicyType::Ingress => tenant::ingress(topology, pod),
    };
    let mut isolated_by = Vec::new();
    let mut terms = Vec::new();
    for policy in topology.policies_of(pod).map(|i| &topology.policies[i]) {
        if !policy.spec.isolates(direction) {
            continue;
        }
        let name = format!("NetworkPolicy {}/{}", policy.namespace, policy.name);
        isolated_by.push(match over_limit(&policy.spec) {
            None => {
                network_policy::terms(topology, pod, direction, policy, &name, &mut terms);
                name
            }
            Some(reason) => format!("{name} (allows nothing: {reason})"),
        });
    }
    let policy = (!isolated_by.is_empty()).then_some(terms);
    AllowLists { tenant, policy, isolated_by }
}
