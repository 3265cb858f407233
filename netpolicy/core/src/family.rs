//! IPv4 and IPv6: names, fields and key types of each.

use std::net::IpAddr;

use crate::ir::{Expr, Field, KeyType, NFPROTO_IPV4, NFPROTO_IPV6, Value};

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) const BOTH: [Family; 2] = [Family::V4, Family::V6];

    /// The name of a chain or set that exists once for each family.
    pub(crate) fn name(self, stem: &str) -> String {
        format!("{stem}{}", if self == Family::V4 { 4 } else { 6 })
    }

    pub(crate) fn has(self, address: &IpAddr) -> bool {
        address.is_ipv6() == (self == Family::V6)
    }

    pub(crate) fn saddr(self) -> Field {
        if self == Family::V4 { Field::Ip4Saddr } else { Field::Ip6Saddr }
    }

    pub(crate) fn daddr(self) -> Field {
        if self == Family::V4 { Field::Ip4Daddr } else { Field::Ip6Daddr }
    }

    pub(crate) fn hop_limit(self) -> Field {
        if self == Family::V4 { Field::Ip4Ttl } else { Field::Ip6HopLimit }
    }

    /// `meta nfproto` is this family's.
    pub(crate) fn is(self) -> Expr {
        Expr::eq(Field::Nfproto, Value::U8(if self == Family::V4 { NFPROTO_IPV4 } else { NFPROTO_IPV6 }))
    }

    pub(crate) fn key(self) -> KeyType {
        if self == Family::V4 { KeyType::Ip4 } else { KeyType::Ip6 }
    }
}
