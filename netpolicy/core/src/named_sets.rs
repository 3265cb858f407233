//! Sets that several chains share, under names made of what they hold.

use crate::address_range::AddressRange;
use crate::family::Family;
use crate::ir::{Expr, Interval, Ruleset, Set, digest};

/// Pods' addresses that lie in no network of the cluster: the one set that makes them inside (see `Topology::stray`).
pub(crate) const STRAY: &str = "stray";

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// A name made of what selects the members, not of the members: so a new pod is one new element of an existing set.
pub(crate) fn set_name(family: Family, stem: &str, key: &str) -> String {
    let digest = digest(&[vec![Expr::jump(key)]]);
    format!("{}_{}", family.name(stem), hex(&digest[..10]))
}

/// Adds an interval set of these addresses. `None` if none of them is of the family.
pub(crate) fn range_set(rules: &mut Ruleset, family: Family, ranges: &[AddressRange]) -> Option<String> {
    let ranges: Vec<&AddressRange> = ranges.iter().filter(|s| s.v6 == (family == Family::V6)).collect();
    if ranges.is_empty() {
        return None;
    }
    let name = set_name(family, "b", &format!("{ranges:?}"));
    if !rules.sets.contains_key(&name) {
        let mut set = Set::intervals(&[family.key()]);
        for range in &ranges {
            let (first, last) = range.ends();
            set.insert(vec![Interval::range(first, last)]);
        }
        rules.set(&name, set);
    }
    Some(name)
}
