//! Names and addresses of a question as a flow.

use std::net::IpAddr;

use cofferdam_netpolicy::evaluate::{Flow, explain as evaluate};
use cofferdam_netpolicy::topology::Topology;
use cofferdam_netpolicy::{Explanation, LocalPod, NodeConfig, PolicyError, PolicySnapshot, Verdict};
use cofferdam_tenant::PortSpec;

/// Where both ends have both families, a denied one is the answer.
pub(crate) fn explain(
    snapshot: &PolicySnapshot,
    node: &NodeConfig,
    pods: &[LocalPod],
    (from, to, port): (&str, &str, &str),
) -> Result<Explanation, PolicyError> {
    let topology = Topology::new(snapshot, node, pods);
    let port = PortSpec::try_from(port.to_owned()).map_err(PolicyError::Unknown)?;
    let (sources, destinations) = (end(&topology, from)?, end(&topology, to)?);
    let mut answer = None;
    for source in &sources {
        for destination in destinations.iter().filter(|d| d.is_ipv4() == source.is_ipv4()) {
            let flow = Flow {
                from: *source,
                to: *destination,
                port: Some((port.protocol, port.port)),
                to_own_node: node.owns(*destination),
                from_own_node: node.owns(*source),
            };
            let explained = evaluate(&topology, &flow);
            if explained.verdict == Verdict::Deny {
                return Ok(explained);
            }
            answer = Some(explained);
        }
    }
    answer.ok_or_else(|| PolicyError::Unknown(format!("{from} and {to} have no addresses of one family")))
}

fn end(topology: &Topology<'_>, text: &str) -> Result<Vec<IpAddr>, PolicyError> {
    if let Ok(address) = text.parse() {
        return Ok(vec![address]);
    }
    let unknown = |what: &str| PolicyError::Unknown(format!("{text:?} {what}"));
    let (namespace, name) = text.split_once('/').ok_or_else(|| unknown("is neither NAMESPACE/POD nor an address"))?;
    let pod = topology.pods.iter().find(|p| p.namespace == namespace && p.name == name);
    Ok(pod.ok_or_else(|| unknown("is not a pod with a network of its own"))?.addresses.clone())
}
