//! Why a new flow passes or not.

use std::net::IpAddr;

use cofferdam_tenant::Protocol;

use crate::engine::{Decision, Explanation, Verdict};
use crate::policy::PolicyType;
use crate::terms::{Match, Side, Term, side};
use crate::world::{Pod, World};

/// A new flow.
#[derive(Debug, Clone, Copy)]
pub struct Flow {
    /// Source.
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
pub fn explain(world: &World<'_>, flow: &Flow) -> Explanation {
    if let Some(reason) = &world.snapshot.blocked {
        let denied = decision(Verdict::Deny, format!("no policy is loaded: {reason}"));
        return Explanation { verdict: Verdict::Deny, egress: denied.clone(), ingress: denied };
    }
    let (source, destination) = (world.owner(flow.from), world.owner(flow.to));
    if let (Some(source), Some(destination)) = (source, destination)
        && std::ptr::eq(source, destination)
    {
        let own = decision(Verdict::Allow, "a pod reaches itself");
        return Explanation { verdict: Verdict::Allow, egress: own.clone(), ingress: own };
    }
    let egress = match source {
        Some(pod) => direction(world, pod, PolicyType::Egress, flow, flow.to),
        None => not_a_pod(world, flow.from),
    };
    let ingress = match destination {
        Some(_) if flow.from_own_node => decision(Verdict::Allow, "from the pod's own node"),
        Some(pod) => direction(world, pod, PolicyType::Ingress, flow, flow.from),
        None => not_a_pod(world, flow.to),
    };
    let both = egress.verdict == Verdict::Allow && ingress.verdict == Verdict::Allow;
    Explanation { verdict: if both { Verdict::Allow } else { Verdict::Deny }, egress, ingress }
}

fn decision(verdict: Verdict, rule: impl Into<String>) -> Decision {
    Decision { verdict, rule: rule.into() }
}

/// An address of this node's pod CIDRs that neither a programmed pod nor the node has passes in neither direction.
fn not_a_pod(world: &World<'_>, address: IpAddr) -> Decision {
    match world.node.pod_cidrs.iter().any(|c| c.contains(address)) && !world.node.owns(address) {
        true => decision(Verdict::Deny, format!("{address} is a pod address that no pod owns")),
        false => decision(Verdict::Allow, "not a pod"),
    }
}

fn direction(world: &World<'_>, pod: &Pod, direction: PolicyType, flow: &Flow, peer: IpAddr) -> Decision {
    let side: Side = side(world, pod, direction);
    let find = |terms: &[Term]| terms.iter().find(|t| matches(t, flow, peer)).map(|t| t.rule.clone());
    let Some(tenant) = find(&side.tenant) else {
        return decision(Verdict::Deny, format!("tenant {}: no rule allows it", pod.tenant));
    };
    match side.policy.as_deref().map(find) {
        None => decision(Verdict::Allow, tenant),
        Some(Some(rule)) => decision(Verdict::Allow, rule),
        Some(None) => decision(Verdict::Deny, format!("{}: no rule allows it", side.isolated_by.join(", "))),
    }
}

fn matches(term: &Term, flow: &Flow, peer: IpAddr) -> bool {
    let ports = match (&term.ports, flow.port) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(ports), Some((protocol, port))) => {
            ports.iter().any(|(p, first, last)| *p == protocol && (*first..=*last).contains(&port))
        }
    };
    ports
        && match &term.peer {
            Match::Any => true,
            Match::Pods(_, addresses) => addresses.contains(&peer),
            Match::Blocks(spans) => spans.iter().any(|s| s.contains(peer)),
            Match::Outside(spans) => !flow.to_own_node && spans.iter().any(|s| s.contains(peer)),
            Match::OwnNode => flow.to_own_node,
            Match::Endpoints(_, all) => flow.port.is_some_and(|(p, n)| all.contains(&(peer, p, n))),
        }
}
