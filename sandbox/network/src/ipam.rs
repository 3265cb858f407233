//! Addresses of pods. Pure: the clock is given, the leases are kept by the caller.
//!
//! An address is free, used by one sandbox, or in quarantine. Never-used addresses come first, then the one longest
//! free; one that was released less than 60 s ago only if there is no other.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use ipnetwork::IpNetwork;

/// How long a released address rests as long as others are left.
pub const QUARANTINE: Duration = Duration::from_secs(60);

/// The node's own address in a pod CIDR: its first one (after the network's own).
pub fn node_address(cidr: IpNetwork) -> IpAddr {
    nth(cidr, first(cidr))
}

/// Offset of the first address that is not the network's own; point-to-point networks have none to spare.
fn first(cidr: IpNetwork) -> u128 {
    let bits = if cidr.is_ipv4() { 32 } else { 128 };
    u128::from(bits - cidr.prefix() >= 2)
}

/// Offset after the last address that a pod may have (an IPv4 broadcast address is not one).
fn end(cidr: IpNetwork) -> u128 {
    match cidr {
        IpNetwork::V4(n) => (1u128 << (32 - n.prefix())) - u128::from(n.prefix() <= 30),
        IpNetwork::V6(n) if n.prefix() == 0 => u128::MAX,
        IpNetwork::V6(n) => 1u128 << (128 - n.prefix()),
    }
}

fn nth(cidr: IpNetwork, offset: u128) -> IpAddr {
    match cidr {
        IpNetwork::V4(n) => IpAddr::V4(Ipv4Addr::from(u32::from(n.network()).wrapping_add(offset as u32))),
        IpNetwork::V6(n) => IpAddr::V6(Ipv6Addr::from(u128::from(n.network()).wrapping_add(offset))),
    }
}

fn offset(cidr: IpNetwork, address: IpAddr) -> Option<u128> {
    match (cidr, address) {
        (IpNetwork::V4(n), IpAddr::V4(a)) if n.contains(a) => Some(u128::from(u32::from(a) - u32::from(n.network()))),
        (IpNetwork::V6(n), IpAddr::V6(a)) if n.contains(a) => Some(u128::from(a) - u128::from(n.network())),
        _ => None,
    }
}

#[derive(Debug)]
struct Range {
    cidr: IpNetwork,
    /// Offset of the next address that was never used.
    next: u128,
}

/// Which address belongs to whom.
#[derive(Debug, Default)]
pub struct Ipam {
    ranges: Vec<Range>,
    used: HashMap<IpAddr, String>,
    /// Released addresses, longest free first.
    resting: VecDeque<(Instant, IpAddr)>,
}

impl Ipam {
    /// Replaces the pod CIDRs; what is in use stays in use.
    pub fn set_cidrs(&mut self, cidrs: &[IpNetwork]) {
        let old = std::mem::take(&mut self.ranges);
        self.ranges = cidrs
            .iter()
            .map(|cidr| Range {
                cidr: *cidr,
                next: old.iter().find(|r| r.cidr == *cidr).map_or(first(*cidr) + 1, |r| r.next),
            })
            .collect();
        self.resting.retain(|(_, address)| cidrs.iter().any(|cidr| cidr.contains(*address)));
    }

    /// The pod CIDRs.
    pub fn cidrs(&self) -> Vec<IpNetwork> {
        self.ranges.iter().map(|range| range.cidr).collect()
    }

    /// Who has this address.
    pub fn owner(&self, address: IpAddr) -> Option<&str> {
        self.used.get(&address).map(String::as_str)
    }

    /// An address that was released at this time, before this table was made; the longest free comes first.
    pub fn rest(&mut self, address: IpAddr, since: Instant) {
        let ours = self.ranges.iter().any(|range| offset(range.cidr, address).is_some());
        self.resting.retain(|(_, resting)| *resting != address);
        if ours && !self.used.contains_key(&address) {
            self.resting.push_back((since, address));
        }
    }

    /// Whether a sandbox has an address in this network, and in none of the pod CIDRs.
    pub fn in_use(&self, cidr: IpNetwork) -> bool {
        let current = |address: &IpAddr| self.ranges.iter().any(|range| range.cidr.contains(*address));
        self.used.keys().any(|address| cidr.contains(*address) && !current(address))
    }

    /// One address of each family that has a CIDR, IPv4 first. A sandbox that has addresses gets the same again.
    ///
    /// # Errors
    /// The family's CIDRs, if all of it is in use; then nothing is taken.
    pub fn allocate(&mut self, sandbox: &str, now: Instant) -> Result<Vec<IpAddr>, String> {
        let mut taken: Vec<IpAddr> =
            self.used.iter().filter(|(_, owner)| *owner == sandbox).map(|(address, _)| *address).collect();
        if !taken.is_empty() {
            taken.sort_by_key(IpAddr::is_ipv6);
            return Ok(taken);
        }
        for v6 in [false, true] {
            let cidrs: Vec<String> =
                self.ranges.iter().filter(|r| r.cidr.is_ipv6() == v6).map(|r| r.cidr.to_string()).collect();
            if cidrs.is_empty() {
                continue;
            }
            let Some(address) = self.fresh(v6).or_else(|| self.rested(v6)) else {
                taken.iter().for_each(|address| self.give_back(*address, now));
                return Err(cidrs.join(", "));
            };
            self.used.insert(address, sandbox.to_owned());
            taken.push(address);
        }
        if taken.is_empty() { Err("no pod CIDR (none configured)".to_owned()) } else { Ok(taken) }
    }

    fn fresh(&mut self, v6: bool) -> Option<IpAddr> {
        let used = &self.used;
        for range in self.ranges.iter_mut().filter(|r| r.cidr.is_ipv6() == v6) {
            while range.next < end(range.cidr) {
                let address = nth(range.cidr, range.next);
                range.next += 1;
                if !used.contains_key(&address) && !self.resting.iter().any(|(_, resting)| *resting == address) {
                    return Some(address);
                }
            }
        }
        None
    }

    /// The longest free of the released ones: those released before 60 s come first by themselves.
    fn rested(&mut self, v6: bool) -> Option<IpAddr> {
        let index = self.resting.iter().position(|(_, address)| address.is_ipv6() == v6)?;
        self.resting.remove(index).map(|(_, address)| address)
    }

    /// Undoes an allocation that was never used: first in the line again.
    fn give_back(&mut self, address: IpAddr, now: Instant) {
        self.used.remove(&address);
        self.resting.push_front((now, address));
    }

    /// Marks the addresses of a stored lease as used.
    pub fn adopt(&mut self, sandbox: &str, addresses: &[IpAddr]) {
        for address in addresses {
            self.used.insert(*address, sandbox.to_owned());
            self.resting.retain(|(_, resting)| resting != address);
        }
    }

    /// Releases what this sandbox has of these addresses; twice is as good as once.
    pub fn release(&mut self, sandbox: &str, addresses: &[IpAddr], now: Instant) {
        for address in addresses {
            if self.used.get(address).is_some_and(|owner| owner == sandbox) {
                self.used.remove(address);
                if self.ranges.iter().any(|range| offset(range.cidr, *address).is_some()) {
                    self.resting.push_back((now, *address));
                }
            }
        }
    }

    /// How many addresses rest at this moment (for tests and `status`).
    pub fn quarantined(&self, now: Instant) -> usize {
        self.resting.iter().filter(|(since, _)| now.duration_since(*since) < QUARANTINE).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ipam(cidrs: &[&str]) -> Ipam {
        let mut ipam = Ipam::default();
        ipam.set_cidrs(&cidrs.iter().map(|c| c.parse().unwrap()).collect::<Vec<_>>());
        ipam
    }

    #[test]
    fn the_first_address_is_the_nodes_and_pods_get_the_next() {
        let cidr: IpNetwork = "10.88.0.0/16".parse().unwrap();
        assert_eq!(node_address(cidr).to_string(), "10.88.0.1");
        assert_eq!(node_address("fd88::/64".parse().unwrap()).to_string(), "fd88::1");
        let got = ipam(&["fd88::/64", "10.88.0.0/16"]).allocate("a", Instant::now()).unwrap();
        assert_eq!(got.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.88.0.2", "fd88::2"]);
    }

    #[test]
    fn a_second_call_gives_the_same_addresses() {
        let mut ipam = ipam(&["10.88.0.0/16"]);
        let now = Instant::now();
        assert_eq!(ipam.allocate("a", now), ipam.allocate("a", now));
    }

    #[test]
    fn a_released_address_is_the_last_to_be_used_again() {
        let mut ipam = ipam(&["10.0.0.0/29"]);
        let now = Instant::now();
        let first = ipam.allocate("a", now).unwrap();
        ipam.release("a", &first, now);
        assert_eq!(ipam.quarantined(now), 1);
        let next: Vec<_> = ["b", "c", "d", "e"].map(|s| ipam.allocate(s, now).unwrap()).into();
        assert!(!next.contains(&first));
        assert_eq!(ipam.allocate("f", now).unwrap(), first);
        assert_eq!(ipam.allocate("g", now), Err("10.0.0.0/29".into()));
    }

    #[test]
    fn a_full_family_takes_nothing_of_the_other() {
        let mut ipam = ipam(&["10.0.0.0/16", "fd00::/127"]);
        let now = Instant::now();
        ipam.allocate("a", now).unwrap();
        assert!(ipam.allocate("b", now).is_err());
        assert!(!ipam.used.values().any(|owner| owner == "b"));
    }

    #[test]
    fn the_lease_of_a_former_cidr_is_kept_and_not_handed_out_again() {
        let mut ipam = ipam(&["10.0.0.0/24"]);
        let now = Instant::now();
        let old = ipam.allocate("a", now).unwrap();
        ipam.set_cidrs(&["10.1.0.0/24".parse().unwrap()]);
        assert!(ipam.in_use("10.0.0.0/24".parse().unwrap()));
        ipam.release("a", &old, now);
        assert_eq!(ipam.allocate("b", now).unwrap()[0].to_string(), "10.1.0.2");
    }

    proptest! {
        #[test]
        fn no_two_sandboxes_share_an_address(ops in proptest::collection::vec((0u8..12, any::<bool>()), 0..200)) {
            let mut ipam = ipam(&["10.0.0.0/28"]);
            let mut held: HashMap<u8, Vec<IpAddr>> = HashMap::new();
            let now = Instant::now();
            for (who, take) in ops {
                if take {
                    held.insert(who, ipam.allocate(&who.to_string(), now).unwrap());
                } else if let Some(addresses) = held.remove(&who) {
                    ipam.release(&who.to_string(), &addresses, now);
                }
                let mut all: Vec<_> = held.values().flatten().collect();
                all.sort();
                let count = all.len();
                all.dedup();
                prop_assert_eq!(all.len(), count);
            }
        }
    }
}
