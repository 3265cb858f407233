//! This node, as far as policy needs to know it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::{IpNetwork, Ipv6Network};

/// What the node itself contributes to its rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeConfig {
    /// Name of the table.
    pub table: String,
    /// What names of pod interfaces begin with.
    pub interface_prefix: String,
    /// This node's pod CIDRs.
    pub pod_cidrs: Vec<IpNetwork>,
    /// This node's own addresses.
    pub addresses: Vec<IpAddr>,
    /// Prefixes by which a NAT64 of this network is reached, beside 64:ff9b::/96; of a length that RFC 6052 has.
    pub nat64_prefixes: Vec<Ipv6Network>,
}

impl NodeConfig {
    /// Takes other pod CIDRs. The node keeps its addresses in the former ones: pods may still have theirs in them.
    pub fn set_pod_cidrs(&mut self, cidrs: Vec<IpNetwork>) {
        let former = self.pod_cidrs.iter().map(first).filter(|address| !self.addresses.contains(address));
        let former: Vec<IpAddr> = former.collect();
        self.addresses.extend(former);
        self.pod_cidrs = cidrs;
    }

    /// Whether an address is this node's own: one of its interfaces', or the first of a pod CIDR, which no pod ever
    /// has.
    pub fn owns(&self, address: IpAddr) -> bool {
        self.addresses.contains(&address) || self.pod_cidrs.iter().any(|cidr| first(cidr) == address)
    }
}

/// The first address after the network's own; a point-to-point network has none to spare.
fn first(cidr: &IpNetwork) -> IpAddr {
    match cidr {
        IpNetwork::V4(n) => Ipv4Addr::from(u32::from(n.network()) + u32::from(n.prefix() <= 30)).into(),
        IpNetwork::V6(n) => Ipv6Addr::from(u128::from(n.network()) + u128::from(n.prefix() <= 126)).into(),
    }
}
