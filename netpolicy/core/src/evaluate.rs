//! Whether a new flow passes, and why.

use std::net::IpAddr;

use cofferdam_tenant::Protocol;

use crate::address_range::covers;
use crate::explanation::{Decision, Explanation, Verdict};
use crate::policy::PolicyType;
use crate::semantics::{AllowLists, PeerMatch, Term, allow_lists};
use crate::topology::{Pod, Topology};

/// A new flow.
#[derive(Debug, Clone, Copy)]
pub struct Flow {
    /// The source address.
    pub from: IpAddr,
    /// Destination, after translation.
    pub to: IpAddr,
    /// Protocol and destination port; `None`: ICMP.
    pub port: Option<(Protocol, u16)>,
    /// The destination is an address of this node.
    pub to_own_node: bool,
    /// The source is this node itself: its output is not filtered.
    pub from_own_node: bool,
}

/// Decides as the node does that runs both ends.
pub fn explain(topology: &Topology<'_>, flow: &Flow) -> Explanation {
    if let Some(reason) = &topology.facts.blocked {
        let denied = decision(Verdict::Deny, format!("no policy is loaded: {reason}"));
        return Explanation { verdict: Verdict::Deny, egress: denied.clone(), ingress: denied };
    }
    let (source, destination) = (topology.owner(flow.from), topology.owner(flow.to));
    if let (Some(source), Some(destination)) = (source, destination)
        && std::ptr::eq(source, destination)
    {
        let own = decision(Verdict::Allow, "a pod reaches itself");
        return Explanation { verdict: Verdict::Allow, egress: own.clone(), ingress: own };
    }
    let egress = match source {
        Some(pod) => direction(topology, pod, PolicyType::Egress, flow, flow.to),
        None => not_a_pod(topology, flow.from),
    };
    let ingress = match destination {
        Some(_) if flow.from_own_node => decision(Verdict::Allow, "from the pod's own node"),
        Some(pod) => direction(topology, pod, PolicyType::Ingress, flow, flow.from),
        None => not_a_pod(topology, flow.to),
    };
    let both = egress.verdict == Verdict::Allow && ingress.verdict == Verdict::Allow;
    Explanation { verdict: if both { Verdict::Allow } else { Verdict::Deny }, egress, ingress }
}

fn decision(verdict: Verdict, rule: impl Into<String>) -> Decision {
    Decision { verdict, rule: rule.into() }
}

/// An address of this node's pod CIDRs that neither a programmed pod nor the node has passes in neither direction.
fn not_a_pod(topology: &Topology<'_>, address: IpAddr) -> Decision {
    match topology.node.pod_cidrs.iter().any(|c| c.contains(address)) && !topology.node.owns(address) {
        true => decision(Verdict::Deny, format!("{address} is a pod address that no pod owns")),
        false => decision(Verdict::Allow, "not a pod"),
    }
}

fn direction(topology: &Topology<'_>, pod: &Pod, direction: PolicyType, flow: &Flow, peer: IpAddr) -> Decision {
    let lists: AllowLists = allow_lists(topology, pod, direction);
    let find = |terms: &[Term]| terms.iter().find(|t| matches(topology, t, flow, peer)).map(|t| t.rule.clone());
    let Some(tenant) = find(&lists.tenant) else {
        return decision(Verdict::Deny, format!("tenant {}: no rule allows it", pod.tenant));
    };
    match lists.policy.as_deref().map(find) {
        None => decision(Verdict::Allow, tenant),
        Some(Some(rule)) => decision(Verdict::Allow, rule),
        Some(None) => decision(Verdict::Deny, format!("{}: no rule allows it", lists.isolated_by.join(", "))),
    }
}

fn matches(topology: &Topology<'_>, term: &Term, flow: &Flow, peer: IpAddr) -> bool {
    let ports = match (&term.ports, flow.port) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(ports), Some((protocol, port))) => {
            ports.iter().any(|(p, first, last)| *p == protocol && (*first..=*last).contains(&port))
        }
    };
    ports
        && match &term.peer {
            PeerMatch::Any => true,
            PeerMatch::Pods(_, addresses) => addresses.contains(&peer),
            PeerMatch::Blocks(ranges) => covers(ranges, peer),
            PeerMatch::Outside(ranges) => !flow.to_own_node && covers(ranges, peer) && !topology.stray.contains(&peer),
            PeerMatch::OwnNode => flow.to_own_node,
            PeerMatch::Endpoints(_, all) => flow.port.is_some_and(|(p, n)| all.contains(&(peer, p, n))),
        }
}
