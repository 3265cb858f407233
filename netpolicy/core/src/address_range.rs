//! Ranges of addresses: union and difference, so that interval sets never overlap.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;

/// Addresses of one family from `first` to `last`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressRange {
    /// Whether they are IPv6 addresses.
    pub v6: bool,
    /// The first address, as a number.
    pub first: u128,
    /// The last address, as a number.
    pub last: u128,
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(a) => u128::from(u32::from(a)),
        IpAddr::V6(a) => u128::from(a),
    }
}

impl AddressRange {
    /// All addresses of a network.
    pub fn network(network: &IpNetwork) -> Self {
        match network {
            IpNetwork::V4(n) => {
                AddressRange { v6: false, first: number(n.network().into()), last: number(n.broadcast().into()) }
            }
            IpNetwork::V6(n) => {
                AddressRange { v6: true, first: number(n.network().into()), last: number(n.broadcast().into()) }
            }
        }
    }

    /// Whether the address is one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.v6 == address.is_ipv6() && (self.first..=self.last).contains(&number(address))
    }

    /// Both ends as addresses.
    pub fn ends(&self) -> (IpAddr, IpAddr) {
        let address = |n: u128| match self.v6 {
            true => IpAddr::V6(Ipv6Addr::from(n)),
            // A range of IPv4 is made of 32-bit numbers only.
            false => IpAddr::V4(Ipv4Addr::from(n as u32)),
        };
        (address(self.first), address(self.last))
    }
}

/// The union, in order, without overlap.
pub fn merge(mut ranges: Vec<AddressRange>) -> Vec<AddressRange> {
    ranges.sort();
    let mut merged: Vec<AddressRange> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if last.v6 == range.v6 && range.first <= last.last.saturating_add(1) => {
                last.last = last.last.max(range.last);
            }
            _ => merged.push(range),
        }
    }
    merged
}

/// Whether one of the ranges, which are in order and do not overlap, has the address.
pub fn covers(ranges: &[AddressRange], address: IpAddr) -> bool {
    let at = (address.is_ipv6(), number(address));
    let after = ranges.partition_point(|r| (r.v6, r.first) <= at);
    after > 0 && ranges[after - 1].contains(address)
}

/// `whole` without `parts`.
pub fn subtract(whole: AddressRange, parts: &[AddressRange]) -> Vec<AddressRange> {
    let mut left = Vec::new();
    let mut rest = Some(whole);
    for part in merge(parts.to_vec()).into_iter().filter(|p| p.v6 == whole.v6) {
        let Some(range) = rest else { break };
        if part.last < range.first || part.first > range.last {
            continue;
        }
        if part.first > range.first {
            left.push(AddressRange { last: part.first - 1, ..range });
        }
        rest = (part.last < range.last).then(|| AddressRange { first: part.last + 1, ..range });
    }
    left.extend(rest);
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> AddressRange {
        AddressRange::network(&text.parse().unwrap())
    }

    #[test]
    fn an_exception_splits_a_block() {
        let left = subtract(net("10.0.0.0/8"), &[net("10.1.0.0/16"), net("fd00::/8")]);
        assert_eq!(left.len(), 2);
        assert!(!left.iter().any(|s| s.contains("10.1.2.3".parse().unwrap())));
        assert!(left.iter().any(|s| s.contains("10.2.0.0".parse().unwrap())));
    }

    #[test]
    fn neighbours_and_overlaps_become_one() {
        assert_eq!(merge(vec![net("10.0.0.0/9"), net("10.128.0.0/9"), net("10.3.0.0/16")]), [net("10.0.0.0/8")]);
    }

    #[test]
    fn subtracting_all_leaves_nothing() {
        assert!(subtract(net("10.0.0.0/8"), &[net("0.0.0.0/0")]).is_empty());
    }
}
