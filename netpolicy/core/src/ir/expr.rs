//! Expressions of a rule.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// `meta nfproto` of IPv4.
pub const NFPROTO_IPV4: u8 = 2;
/// `meta nfproto` of IPv6.
pub const NFPROTO_IPV6: u8 = 10;

/// Protocol numbers (IANA).
pub mod proto {
    /// ICMP.
    pub const ICMP: u8 = 1;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// ICMPv6.
    pub const ICMPV6: u8 = 58;
    /// SCTP.
    pub const SCTP: u8 = 132;
}

/// Bits of `ct state`.
pub mod ct_state {
    /// No valid flow.
    pub const INVALID: u32 = 1;
    /// Seen in both directions.
    pub const ESTABLISHED: u32 = 2;
    /// Belongs to another flow (ICMP errors).
    pub const RELATED: u32 = 4;
    /// First packet.
    pub const NEW: u32 = 8;
    /// Not tracked.
    pub const UNTRACKED: u32 = 64;
}

/// Values of `ct direction`.
pub mod ct_direction {
    /// The direction of the first packet.
    pub const ORIGINAL: u8 = 0;
    /// The answers.
    pub const REPLY: u8 = 1;
}

/// Bits of `ct status`.
pub mod ct_status {
    /// Source is translated.
    pub const SNAT: u32 = 16;
    /// Destination is translated.
    pub const DNAT: u32 = 32;
}

/// Values of `fib daddr type` (rtnetlink's RTN_*).
pub mod fib_type {
    /// A route to somewhere else.
    pub const UNICAST: u32 = 1;
    /// An address of this host.
    pub const LOCAL: u32 = 2;
    /// Broadcast.
    pub const BROADCAST: u32 = 3;
    /// Multicast.
    pub const MULTICAST: u32 = 5;
}

/// A field of a packet, of its flow or of its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Field {
    /// `meta iifname`.
    Iifname,
    /// `meta oifname`.
    Oifname,
    /// `meta nfproto`, see [`NFPROTO_IPV4`].
    Nfproto,
    /// `meta l4proto`, see [`proto`].
    L4proto,
    /// `meta mark`.
    Mark,
    /// `ip saddr`.
    Ip4Saddr,
    /// `ip daddr`.
    Ip4Daddr,
    /// `ip ttl`.
    Ip4Ttl,
    /// `ip6 saddr`.
    Ip6Saddr,
    /// `ip6 daddr`.
    Ip6Daddr,
    /// `ip6 hoplimit`.
    Ip6HopLimit,
    /// `th sport`.
    Sport,
    /// `th dport`.
    Dport,
    /// `tcp flags`: FIN 1, SYN 2, RST 4, ACK 16.
    TcpFlags,
    /// `icmp type`.
    IcmpType,
    /// `icmpv6 type`.
    Icmp6Type,
    /// `ct state`, see [`ct_state`]. Only with [`Expr::Masked`].
    CtState,
    /// `ct direction`, see [`ct_direction`].
    CtDirection,
    /// `ct status`, see [`ct_status`]. Only with [`Expr::Masked`].
    CtStatus,
    /// `ct mark`.
    CtMark,
    /// `fib daddr type`, see [`fib_type`]. Not in postrouting.
    FibDaddrType,
    /// `fib saddr type`.
    FibSaddrType,
}

/// A constant. Its type must be that of the field it meets; the backend refuses a batch in which it is not.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Value {
    /// One byte: protocols, ICMP types, flags, direction, hop limit.
    U8(u8),
    /// A port.
    Port(u16),
    /// Marks, states, types.
    U32(u32),
    /// IPv4 address.
    Ip4(Ipv4Addr),
    /// IPv6 address.
    Ip6(Ipv6Addr),
    /// A whole interface name, at most 15 bytes.
    Ifname(String),
    /// Interfaces whose name starts so (`cfd*`). Only in [`Expr::Cmp`].
    IfnamePrefix(String),
}

impl From<IpAddr> for Value {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(a) => Value::Ip4(a),
            IpAddr::V6(a) => Value::Ip6(a),
        }
    }
}

/// How two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CmpOp {
    /// `==`
    Eq,
    /// `!=`
    Ne,
}

/// Where a packet goes next.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PacketVerdict {
    /// Ends this base chain; later base chains still run.
    Accept,
    /// The packet is gone.
    Drop,
    /// Back to the rule after the jump.
    Return,
    /// To a chain, and back.
    Jump(String),
    /// To a chain, not back here.
    Goto(String),
}

/// Address and port of a translation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Nat {
    /// New address.
    pub address: IpAddr,
    /// New port, `None` keeps it.
    pub port: Option<u16>,
}

/// One step of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Expr {
    /// `field == value`, `field != value`.
    Cmp(Field, CmpOp, Value),
    /// `field & mask == value`, `field & mask != value` (addresses: prefix; ct state: one of these bits with `Ne` 0;
    /// tcp flags).
    Masked(Field, Value, CmpOp, Value),
    /// `field first-last` (`CmpOp::Ne`: outside), both ends included.
    Range(Field, CmpOp, Value, Value),
    /// `a . b . c @set` (`CmpOp::Ne`: not in it).
    Lookup(Vec<Field>, CmpOp, String),
    /// `a . b vmap @map`: takes the verdict of the element, goes on if there is none.
    Vmap(Vec<Field>, String),
    /// Counts packets and bytes; begins at 0 when its chain is replaced.
    Counter,
    /// Logs to an nflog group.
    Nflog {
        /// The group.
        group: u16,
        /// At most 127 bytes.
        prefix: String,
    },
    /// Ends the rule.
    Verdict(PacketVerdict),
    /// Source becomes the address of the interface it leaves by. Only in nat postrouting.
    Masquerade,
    /// New source. Only in nat postrouting; restrict the family before.
    Snat(Nat),
    /// New destination. Only in nat prerouting and output; restrict the family before.
    Dnat(Nat),
    /// `meta mark set (mark & mask) ^ xor`.
    SetMark {
        /// Bits that stay.
        mask: u32,
        /// Bits that flip afterwards.
        xor: u32,
    },
    /// `ct mark set (mark & mask) ^ xor`.
    SetCtMark {
        /// Bits that stay.
        mask: u32,
        /// Bits that flip afterwards.
        xor: u32,
    },
}

impl Expr {
    /// `field == value`.
    pub fn eq(field: Field, value: impl Into<Value>) -> Self {
        Expr::Cmp(field, CmpOp::Eq, value.into())
    }

    /// `field != value`.
    pub fn ne(field: Field, value: impl Into<Value>) -> Self {
        Expr::Cmp(field, CmpOp::Ne, value.into())
    }

    /// `ct state { bits }`: at least one of them.
    pub fn ct_state(bits: u32) -> Self {
        Expr::Masked(Field::CtState, Value::U32(bits), CmpOp::Ne, Value::U32(0))
    }

    /// `ct status { bits }`: at least one of them.
    pub fn ct_status(bits: u32) -> Self {
        Expr::Masked(Field::CtStatus, Value::U32(bits), CmpOp::Ne, Value::U32(0))
    }

    /// `fields @set`.
    pub fn lookup(fields: &[Field], set: impl Into<String>) -> Self {
        Expr::Lookup(fields.to_vec(), CmpOp::Eq, set.into())
    }

    /// `fields != @set`.
    pub fn not_in(fields: &[Field], set: impl Into<String>) -> Self {
        Expr::Lookup(fields.to_vec(), CmpOp::Ne, set.into())
    }

    /// `fields vmap @map`.
    pub fn vmap(fields: &[Field], map: impl Into<String>) -> Self {
        Expr::Vmap(fields.to_vec(), map.into())
    }

    /// `accept`.
    pub fn accept() -> Self {
        Expr::Verdict(PacketVerdict::Accept)
    }

    /// `drop`.
    pub fn drop() -> Self {
        Expr::Verdict(PacketVerdict::Drop)
    }

    /// `return`.
    pub fn ret() -> Self {
        Expr::Verdict(PacketVerdict::Return)
    }

    /// `jump chain`.
    pub fn jump(chain: impl Into<String>) -> Self {
        Expr::Verdict(PacketVerdict::Jump(chain.into()))
    }

    /// `goto chain`.
    pub fn goto(chain: impl Into<String>) -> Self {
        Expr::Verdict(PacketVerdict::Goto(chain.into()))
    }
}
