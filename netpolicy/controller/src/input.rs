//! What rules are made of: facts, policies, this node and its pods; and how two of these are put together, tenant by
//! tenant. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cofferdam_netpolicy::policy::NetworkPolicy;
use cofferdam_netpolicy::{LocalPod, NodeConfig, PolicySnapshot};

/// Everything that the compiler asks for.
#[derive(Clone)]
pub(crate) struct Input {
    pub(crate) snapshot: Arc<PolicySnapshot>,
    pub(crate) node: NodeConfig,
    /// By sandbox id.
    pub(crate) pods: BTreeMap<String, LocalPod>,
}

impl Input {
    /// The facts and the node of `new`, and of each tenant that is picked its policies and pods; the other tenants keep
    /// theirs. Pods that `new` does not have go in any case: what ended must not stay bound.
    pub(crate) fn with(&self, new: &Input, picked: impl Fn(&str) -> bool) -> Input {
        let tenant = |policy: &NetworkPolicy| new.snapshot.facts.tenant_of(&policy.namespace).unwrap_or_default();
        let kept = self.snapshot.policies.iter().filter(|p| !picked(tenant(p)));
        let taken = new.snapshot.policies.iter().filter(|p| picked(tenant(p)));
        let policies = kept.chain(taken).cloned().collect();
        let stays = |(id, pod): &(&String, &LocalPod)| !picked(&pod.tenant) && new.pods.contains_key(*id);
        let kept = self.pods.iter().filter(stays);
        let taken = new.pods.iter().filter(|(_, pod)| picked(&pod.tenant));
        Input {
            snapshot: Arc::new(PolicySnapshot { facts: new.snapshot.facts.clone(), policies }),
            node: new.node.clone(),
            pods: kept.chain(taken).map(|(id, pod)| (id.clone(), pod.clone())).collect(),
        }
    }

    /// The tenants whose policies or pods are not the same in `new`.
    pub(crate) fn differing(&self, new: &Input) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let (old_policies, new_policies) = (policies_by_tenant(self, new), policies_by_tenant(new, new));
        let (old_pods, new_pods) = (pods_by_tenant(self), pods_by_tenant(new));
        found.extend(different_keys(&old_policies, &new_policies));
        found.extend(different_keys(&old_pods, &new_pods));
        found
    }
}

type ByTenant<'a, T> = BTreeMap<&'a str, Vec<&'a T>>;

/// The policies of `input`, by the tenants that the facts of `new` know.
fn policies_by_tenant<'a>(input: &'a Input, new: &'a Input) -> ByTenant<'a, NetworkPolicy> {
    let mut all = ByTenant::new();
    for policy in &input.snapshot.policies {
        let tenant = new.snapshot.facts.tenant_of(&policy.namespace).unwrap_or_default();
        all.entry(tenant).or_default().push(policy.as_ref());
    }
    all.values_mut().for_each(|policies| policies.sort_by_key(|p| (&p.namespace, &p.name)));
    all
}

fn pods_by_tenant(input: &Input) -> ByTenant<'_, LocalPod> {
    let mut all = ByTenant::new();
    input.pods.values().for_each(|pod| all.entry(pod.tenant.as_str()).or_default().push(pod));
    all
}

fn different_keys<T: PartialEq>(old: &ByTenant<'_, T>, new: &ByTenant<'_, T>) -> Vec<String> {
    let keys: BTreeSet<&&str> = old.keys().chain(new.keys()).collect();
    keys.into_iter().filter(|key| old.get(**key) != new.get(**key)).map(|key| (*key).to_owned()).collect()
}
