//! Terms: the alternatives of which one has to match.

use std::collections::BTreeSet;
use std::net::IpAddr;

use cofferdam_tenant::Protocol;

use crate::address_range::AddressRange;
use crate::topology::Addresses;

/// First and last port of a protocol.
pub type PortRange = (Protocol, u16, u16);

/// Ports of the destination; `None`: all ports, and ICMP.
pub type Ports = Option<BTreeSet<PortRange>>;

/// The other ends of a flow that a term allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerMatch {
    /// Everybody.
    Any,
    /// Addresses of pods. The key identifies what selects them.
    Pods(String, Addresses),
    /// Addresses, this node's own too.
    Blocks(Vec<AddressRange>),
    /// Addresses outside the cluster, so no pod's, wherever it is, and none of this node's own.
    Outside(Vec<AddressRange>),
    /// The pod's own node.
    OwnNode,
    /// Address, protocol and port together. The key identifies what selects them.
    Endpoints(String, BTreeSet<(IpAddr, Protocol, u16)>),
}

/// One alternative that allows a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// The rule it comes from, as people are told.
    pub rule: String,
    /// The other end.
    pub peer: PeerMatch,
    /// Ports of the destination.
    pub ports: Ports,
}
