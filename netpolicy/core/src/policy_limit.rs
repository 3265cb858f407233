//! How large one NetworkPolicy may be.
//!
//! Whoever may write policies chooses their size, and the node pays for it at every change: entries become elements in
//! the kernel, conditions of selectors are asked of pods. A policy over the limit is not left out, which would open
//! what it closes: it isolates the pods that it selects and allows them nothing.

use crate::policy::{LabelSelector, Peer, PolicyPort, PolicySpec};

/// Most rules, peers, exceptions and ports of one policy, all together.
pub const MAX_ENTRIES: usize = 10_000;
/// Most selectors, labels, expressions and values of one policy, all together.
pub const MAX_CONDITIONS: usize = 1_000;

/// Why a policy is too large, or `None`.
pub fn over_limit(spec: &PolicySpec) -> Option<String> {
    let ingress = spec.ingress.iter().map(|r| (&r.from[..], &r.ports[..]));
    let egress = spec.egress.iter().map(|r| (&r.to[..], &r.ports[..]));
    let (mut entries, mut conditions) = (0, in_selector(&spec.pod_selector));
    for (peers, ports) in ingress.chain(egress) {
        entries += 1 + in_rule(peers, ports);
        let selectors = peers.iter().flat_map(|p| [&p.pod_selector, &p.namespace_selector]).flatten();
        conditions += selectors.map(in_selector).sum::<usize>();
    }
    let over = |what: &str, found: usize, limit: usize| {
        (found > limit).then(|| format!("{found} {what} are more than the {limit} that one policy may have"))
    };
    over("rules, peers, exceptions and ports", entries, MAX_ENTRIES)
        .or_else(|| over("selectors, labels, expressions and values", conditions, MAX_CONDITIONS))
}

fn in_rule(peers: &[Peer], ports: &[PolicyPort]) -> usize {
    let exceptions = peers.iter().filter_map(|p| p.ip_block.as_ref()).map(|b| b.except.len());
    peers.len() + ports.len() + exceptions.sum::<usize>()
}

fn in_selector(selector: &LabelSelector) -> usize {
    let expressions = selector.match_expressions.iter().map(|r| 1 + r.values.len());
    1 + selector.match_labels.len() + expressions.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(peer: &str, peers: usize, ports: usize) -> PolicySpec {
        let ports = (1..=ports).map(|n| format!(r#"{{"port":{n}}}"#)).collect::<Vec<_>>().join(",");
        let peers = vec![peer; peers].join(",");
        serde_json::from_str(&format!(r#"{{"egress":[{{"to":[{peers}],"ports":[{ports}]}}]}}"#)).unwrap()
    }

    #[test]
    fn what_counts_is_the_sum_of_peers_and_ports() {
        let block = r#"{"ipBlock":{"cidr":"10.0.0.0/8","except":["10.1.0.0/16"]}}"#;
        assert_eq!(over_limit(&spec(block, 3_000, 3_999)), None);
        assert!(over_limit(&spec(block, 3_000, 4_000)).unwrap().contains("10001 rules, peers"));
    }

    #[test]
    fn conditions_of_selectors_count_on_their_own() {
        let pods = r#"{"podSelector":{"matchExpressions":[{"key":"a","operator":"In","values":["b","c"]}]}}"#;
        assert_eq!(over_limit(&spec(pods, 249, 1)), None);
        assert!(over_limit(&spec(pods, 250, 1)).unwrap().contains("1001 selectors"));
    }
}
