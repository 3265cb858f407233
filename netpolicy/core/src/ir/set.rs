//! Named sets and verdict maps.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::expr::{PacketVerdict, Value};

/// Type of one part of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyType {
    /// `ipv4_addr`.
    Ip4,
    /// `ipv6_addr`.
    Ip6,
    /// `ifname`.
    Ifname,
    /// `inet_proto`.
    Proto,
    /// `inet_service`.
    Port,
    /// `mark`.
    Mark,
}

/// Whether an element only is in the set or also has a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetKind {
    /// Members.
    Plain,
    /// Members with a verdict each.
    Verdicts,
}

/// One part of an element: a value, or in interval sets a range.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Interval {
    /// First value.
    pub first: Value,
    /// Last value, included; equal to `first` unless the set has intervals.
    pub last: Value,
}

impl Interval {
    /// One value.
    pub fn exact(value: impl Into<Value>) -> Self {
        let first = value.into();
        Interval { last: first.clone(), first }
    }

    /// A range of values, both included.
    pub fn range(first: impl Into<Value>, last: impl Into<Value>) -> Self {
        Interval { first: first.into(), last: last.into() }
    }

    /// All addresses of a network.
    pub fn network(network: IpNetwork) -> Self {
        match network {
            IpNetwork::V4(n) => Interval::range(IpAddr::V4(n.network()), IpAddr::V4(n.broadcast())),
            IpNetwork::V6(n) => Interval::range(IpAddr::V6(n.network()), IpAddr::V6(n.broadcast())),
        }
    }

    /// One port.
    pub fn port(port: u16) -> Self {
        Interval::exact(Value::Port(port))
    }

    /// One interface name.
    pub fn ifname(name: impl Into<String>) -> Self {
        Interval::exact(Value::Ifname(name.into()))
    }

    /// One protocol.
    pub fn proto(proto: u8) -> Self {
        Interval::exact(Value::U8(proto))
    }
}

/// The key of an element: one interval for each part.
pub type Element = Vec<Interval>;

/// A named set or verdict map.
///
/// Hash sets (`intervals` false) take each element on its own. In interval sets with one part the elements must not
/// overlap (adjacent is fine): merge before. Deleting from concatenated interval sets is slow in the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// Types of the concatenation's parts.
    pub key: Vec<KeyType>,
    /// Whether elements may be ranges.
    pub intervals: bool,
    /// Plain or verdict map.
    pub kind: SetKind,
    /// Elements; the verdict is there in maps only.
    pub elements: BTreeMap<Element, Option<PacketVerdict>>,
}

impl Set {
    /// An empty hash set.
    pub fn hash(key: &[KeyType]) -> Self {
        Set { key: key.to_vec(), intervals: false, kind: SetKind::Plain, elements: BTreeMap::new() }
    }

    /// An empty set of ranges.
    pub fn intervals(key: &[KeyType]) -> Self {
        Set { intervals: true, ..Set::hash(key) }
    }

    /// An empty verdict map.
    pub fn verdicts(key: &[KeyType]) -> Self {
        Set { kind: SetKind::Verdicts, ..Set::hash(key) }
    }

    /// Adds a member.
    pub fn insert(&mut self, element: Element) {
        self.elements.insert(element, None);
    }

    /// Adds a member with its verdict.
    pub fn map(&mut self, element: Element, verdict: PacketVerdict) {
        self.elements.insert(element, Some(verdict));
    }

    /// Whether two sets differ in elements only.
    pub fn same_shape(&self, other: &Set) -> bool {
        self.key == other.key && self.intervals == other.intervals && self.kind == other.kind
    }

    /// A set of this shape without elements.
    pub fn empty(&self) -> Set {
        Set { key: self.key.clone(), intervals: self.intervals, kind: self.kind, elements: BTreeMap::new() }
    }
}
