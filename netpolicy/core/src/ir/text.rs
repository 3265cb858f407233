//! Rules and sets as people read them: the words of nft(8), as far as it has words for them.

use std::fmt::{self, Display, Formatter, Write as _};

use super::chain::{Base, ChainKind, ChainPolicy, Hook};
use super::expr::{CmpOp, Expr, Field, Nat, PacketVerdict, Value};
use super::set::{Element, Set, SetKind};

impl Field {
    fn text(self) -> &'static str {
        match self {
            Field::Iifname => "iifname",
            Field::Oifname => "oifname",
            Field::Nfproto => "meta nfproto",
            Field::L4proto => "meta l4proto",
            Field::Mark => "meta mark",
            Field::Ip4Saddr => "ip saddr",
            Field::Ip4Daddr => "ip daddr",
            Field::Ip4Ttl => "ip ttl",
            Field::Ip6Saddr => "ip6 saddr",
            Field::Ip6Daddr => "ip6 daddr",
            Field::Ip6HopLimit => "ip6 hoplimit",
            Field::Sport => "th sport",
            Field::Dport => "th dport",
            Field::TcpFlags => "tcp flags",
            Field::IcmpType => "icmp type",
            Field::Icmp6Type => "icmpv6 type",
            Field::CtState => "ct state",
            Field::CtDirection => "ct direction",
            Field::CtStatus => "ct status",
            Field::CtMark => "ct mark",
            Field::FibDaddrType => "fib daddr type",
            Field::FibSaddrType => "fib saddr type",
        }
    }
}

impl Display for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Value::U8(n) => n.fmt(f),
            Value::Port(n) => n.fmt(f),
            Value::U32(n) => write!(f, "{n:#x}"),
            Value::Ip4(a) => a.fmt(f),
            Value::Ip6(a) => a.fmt(f),
            Value::Ifname(name) => write!(f, "\"{name}\""),
            Value::IfnamePrefix(name) => write!(f, "\"{name}*\""),
        }
    }
}

impl Display for PacketVerdict {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            PacketVerdict::Accept => f.write_str("accept"),
            PacketVerdict::Drop => f.write_str("drop"),
            PacketVerdict::Return => f.write_str("return"),
            PacketVerdict::Jump(chain) => write!(f, "jump {chain}"),
            PacketVerdict::Goto(chain) => write!(f, "goto {chain}"),
        }
    }
}

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Expr::Cmp(field, op, value) => write!(f, "{} {}{value}", field.text(), not(*op)),
            Expr::Masked(field, mask, op, value) => {
                let op = if *op == CmpOp::Eq { "==" } else { "!=" };
                write!(f, "{} & {mask} {op} {value}", field.text())
            }
            Expr::Range(field, op, first, last) => write!(f, "{} {}{first}-{last}", field.text(), not(*op)),
            Expr::Lookup(fields, op, set) => write!(f, "{} {}@{set}", joined(fields), not(*op)),
            Expr::Vmap(fields, map) => write!(f, "{} vmap @{map}", joined(fields)),
            Expr::Counter => f.write_str("counter"),
            Expr::Nflog { group, prefix } => write!(f, "log group {group} prefix {prefix:?}"),
            Expr::Verdict(verdict) => verdict.fmt(f),
            Expr::Masquerade => f.write_str("masquerade"),
            Expr::Snat(nat) => write!(f, "snat to {}", place(nat)),
            Expr::Dnat(nat) => write!(f, "dnat to {}", place(nat)),
            Expr::SetMark { mask, xor } => write!(f, "meta mark set meta mark & {mask:#x} ^ {xor:#x}"),
            Expr::SetCtMark { mask, xor } => write!(f, "ct mark set ct mark & {mask:#x} ^ {xor:#x}"),
        }
    }
}

fn not(op: CmpOp) -> &'static str {
    if op == CmpOp::Eq { "" } else { "!= " }
}

fn joined(fields: &[Field]) -> String {
    fields.iter().map(|field| field.text()).collect::<Vec<_>>().join(" . ")
}

fn place(nat: &Nat) -> String {
    match (nat.address, nat.port) {
        (address, None) => address.to_string(),
        (address, Some(port)) => std::net::SocketAddr::new(address, port).to_string(),
    }
}

impl Display for Base {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let kind = if self.kind == ChainKind::Nat { "nat" } else { "filter" };
        let hook = match self.hook {
            Hook::Prerouting => "prerouting",
            Hook::Input => "input",
            Hook::Forward => "forward",
            Hook::Output => "output",
            Hook::Postrouting => "postrouting",
        };
        let policy = if self.policy == ChainPolicy::Accept { "accept" } else { "drop" };
        write!(f, "type {kind} hook {hook} priority {}; policy {policy};", self.priority)
    }
}

impl Display for Set {
    /// One line: shape and elements.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("{ ")?;
        for (index, (element, verdict)) in self.elements.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            f.write_str(&key(element))?;
            if let Some(verdict) = verdict {
                write!(f, " : {verdict}")?;
            }
        }
        f.write_str(if self.elements.is_empty() { "}" } else { " }" })
    }
}

impl SetKind {
    /// `set` or `map`.
    pub fn word(self) -> &'static str {
        if self == SetKind::Plain { "set" } else { "map" }
    }
}

fn key(element: &Element) -> String {
    let mut text = String::new();
    for (index, part) in element.iter().enumerate() {
        if index > 0 {
            text.push_str(" . ");
        }
        // Writing to a string does not fail.
        let _ = match part.first == part.last {
            true => write!(text, "{}", part.first),
            false => write!(text, "{}-{}", part.first, part.last),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::{Interval, KeyType, ct_state};
    use super::*;

    #[test]
    fn rules_read_like_those_of_nft() {
        let rule = [
            Expr::eq(Field::Iifname, Value::IfnamePrefix("cfd".into())),
            Expr::not_in(&[Field::Iifname, Field::Ip4Saddr], "bound4"),
            Expr::ct_state(ct_state::NEW),
            Expr::Range(Field::Dport, CmpOp::Eq, Value::Port(80), Value::Port(90)),
            Expr::Counter,
            Expr::goto("deny"),
        ];
        let text: Vec<String> = rule.iter().map(ToString::to_string).collect();
        assert_eq!(
            text.join(" "),
            "iifname \"cfd*\" iifname . ip saddr != @bound4 ct state & 0x8 != 0x0 th dport 80-90 counter goto deny"
        );
    }

    #[test]
    fn a_map_names_the_verdict_of_each_element() {
        let mut map = Set::verdicts(&[KeyType::Ifname]);
        assert_eq!(map.to_string(), "{ }");
        map.map(vec![Interval::ifname("cfd1")], PacketVerdict::Jump("c1".into()));
        assert_eq!(map.to_string(), "{ \"cfd1\" : jump c1 }");
    }
}
