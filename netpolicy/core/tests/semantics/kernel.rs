//! The compiled rules, interpreted as the kernel would: what netfilter's documentation says of verdicts, sets and
//! missing fields, and no more.

use std::net::IpAddr;

use cofferdam_netpolicy::ir::{
    CmpOp, Expr, Field, Hook, Interval, NFPROTO_IPV4, NFPROTO_IPV6, PacketVerdict, Rule, Ruleset, Value, ct_direction,
    ct_state, fib_type, proto,
};

/// A packet at a hook.
#[derive(Debug, Clone)]
pub struct Packet {
    pub from: IpAddr,
    pub to: IpAddr,
    pub iif: String,
    /// `None`: it is for this host.
    pub oif: Option<String>,
    pub proto: u8,
    pub dport: u16,
    pub tcp_flags: u8,
    pub hop_limit: u8,
    pub icmp6_type: u8,
    pub ct_state: u32,
    pub ct_direction: u8,
    pub fib: u32,
}

impl Packet {
    /// The first packet of a flow, by these interfaces.
    pub fn new(from: IpAddr, to: IpAddr, iif: &str, oif: Option<&str>, port: Option<(u8, u16)>) -> Self {
        let icmp = if to.is_ipv4() { proto::ICMP } else { proto::ICMPV6 };
        let (proto, dport) = port.unwrap_or((icmp, 0));
        Packet {
            from,
            to,
            iif: iif.into(),
            oif: oif.map(str::to_owned),
            proto,
            dport,
            tcp_flags: 2,
            hop_limit: 64,
            icmp6_type: 128,
            ct_state: ct_state::NEW,
            ct_direction: ct_direction::ORIGINAL,
            fib: if oif.is_none() { fib_type::LOCAL } else { fib_type::UNICAST },
        }
    }

    /// The same packet as an answer within a flow.
    pub fn reply(mut self) -> Self {
        (self.ct_state, self.ct_direction, self.tcp_flags) = (ct_state::ESTABLISHED, ct_direction::REPLY, 18);
        self
    }

    /// `None`: the packet has no such field, so the rule does not match.
    fn field(&self, field: Field) -> Option<Value> {
        let v4 = self.to.is_ipv4();
        let ports = [proto::TCP, proto::UDP, proto::SCTP].contains(&self.proto);
        Some(match field {
            Field::Iifname => Value::Ifname(self.iif.clone()),
            Field::Oifname => Value::Ifname(self.oif.clone()?),
            Field::Nfproto => Value::U8(if v4 { NFPROTO_IPV4 } else { NFPROTO_IPV6 }),
            Field::L4proto => Value::U8(self.proto),
            Field::Ip4Saddr if v4 => self.from.into(),
            Field::Ip4Daddr if v4 => self.to.into(),
            Field::Ip6Saddr if !v4 => self.from.into(),
            Field::Ip6Daddr if !v4 => self.to.into(),
            Field::Ip4Ttl if v4 => Value::U8(self.hop_limit),
            Field::Ip6HopLimit if !v4 => Value::U8(self.hop_limit),
            Field::Dport if ports => Value::Port(self.dport),
            Field::TcpFlags if self.proto == proto::TCP => Value::U8(self.tcp_flags),
            Field::Icmp6Type if self.proto == proto::ICMPV6 => Value::U8(self.icmp6_type),
            Field::CtState => Value::U32(self.ct_state),
            Field::CtDirection => Value::U8(self.ct_direction),
            Field::FibDaddrType => Value::U32(self.fib),
            other => {
                let known = [Field::Ip4Saddr, Field::Ip4Daddr, Field::Ip6Saddr, Field::Ip6Daddr, Field::Ip6HopLimit];
                let known = [&known[..], &[Field::Ip4Ttl, Field::Dport, Field::TcpFlags, Field::Icmp6Type]].concat();
                assert!(known.contains(&other), "the interpreter lacks {other:?}");
                return None;
            }
        })
    }
}

enum Flow {
    Accept,
    Drop,
    /// Back to the caller.
    Return,
    /// To the next rule.
    Next,
}

/// Whether the packet passes prerouting, whose chains run by priority.
pub fn passes_prerouting(rules: &Ruleset, packet: &Packet) -> bool {
    let before = Packet { oif: None, ..packet.clone() };
    let hooks = rules.chains.iter().filter_map(|(name, chain)| Some((chain.hook()?, name)));
    let mut chains: Vec<(i32, &String)> =
        hooks.filter(|(base, _)| base.hook == Hook::Prerouting).map(|(base, name)| (base.priority, name)).collect();
    chains.sort();
    assert!(chains.first().is_some_and(|(priority, _)| *priority < -400), "before conntrack and fragments");
    chains.iter().all(|(_, name)| !matches!(run(rules, name, &before, 0), Flow::Drop))
}

/// Whether the packet passes prerouting and the hook that it comes to then.
pub fn passes(rules: &Ruleset, packet: &Packet) -> bool {
    passes_prerouting(rules, packet) && passes_hook(rules, packet)
}

/// Whether the packet passes the hook that it is at.
pub fn passes_hook(rules: &Ruleset, packet: &Packet) -> bool {
    let hook = if packet.oif.is_some() { Hook::Forward } else { Hook::Input };
    let mut at_hook = rules.chains.iter().filter(|(_, c)| c.hook().is_some_and(|b| b.hook == hook));
    let (name, _) = at_hook.next().expect("a base chain");
    assert!(at_hook.next().is_none());
    // The policy of base chains is accept.
    !matches!(run(rules, name, packet, 0), Flow::Drop)
}

fn run(rules: &Ruleset, chain: &str, packet: &Packet, depth: usize) -> Flow {
    assert!(depth < 16, "the kernel's limit of jumps");
    for rule in rules.chains[chain].rules() {
        match apply(rules, rule, packet, depth) {
            Flow::Next => {}
            other => return other,
        }
    }
    Flow::Return
}

fn apply(rules: &Ruleset, rule: &Rule, packet: &Packet, depth: usize) -> Flow {
    for expr in rule {
        let holds = match expr {
            Expr::Cmp(field, op, value) => packet.field(*field).map(|v| same(&v, value) == (*op == CmpOp::Eq)),
            Expr::Masked(field, mask, op, value) => {
                packet.field(*field).map(|v| (masked(&v, mask) == *value) == (*op == CmpOp::Eq))
            }
            Expr::Range(field, op, first, last) => {
                packet.field(*field).map(|v| (first <= &v && &v <= last) == (*op == CmpOp::Eq))
            }
            Expr::Lookup(fields, op, set) => {
                key(packet, fields).map(|k| find(rules, set, &k).is_some() == (*op == CmpOp::Eq))
            }
            Expr::Counter => Some(true),
            Expr::Verdict(verdict) => return go(rules, verdict, packet, depth),
            Expr::Vmap(fields, map) => match key(packet, fields).and_then(|k| find(rules, map, &k)) {
                Some(verdict) => return go(rules, &verdict.expect("a map"), packet, depth),
                None => Some(false),
            },
            other => panic!("the interpreter lacks {other:?}"),
        };
        if holds != Some(true) {
            return Flow::Next;
        }
    }
    Flow::Next
}

fn go(rules: &Ruleset, verdict: &PacketVerdict, packet: &Packet, depth: usize) -> Flow {
    match verdict {
        PacketVerdict::Accept => Flow::Accept,
        PacketVerdict::Drop => Flow::Drop,
        PacketVerdict::Return => Flow::Return,
        PacketVerdict::Goto(chain) => run(rules, chain, packet, depth + 1),
        PacketVerdict::Jump(chain) => match run(rules, chain, packet, depth + 1) {
            Flow::Return => Flow::Next,
            other => other,
        },
    }
}

fn key(packet: &Packet, fields: &[Field]) -> Option<Vec<Value>> {
    fields.iter().map(|f| packet.field(*f)).collect()
}

fn find(rules: &Ruleset, set: &str, key: &[Value]) -> Option<Option<PacketVerdict>> {
    let set = rules.sets.get(set).unwrap_or_else(|| panic!("no set {set}"));
    let inside = |(part, value): (&Interval, &Value)| {
        std::mem::discriminant(&part.first) == std::mem::discriminant(value)
            && part.first <= *value
            && *value <= part.last
    };
    set.elements.iter().find(|(element, _)| element.iter().zip(key).all(inside)).map(|(_, verdict)| verdict.clone())
}

fn same(value: &Value, wanted: &Value) -> bool {
    match (value, wanted) {
        (Value::Ifname(name), Value::IfnamePrefix(prefix)) => name.starts_with(prefix.as_str()),
        _ => value == wanted,
    }
}

fn masked(value: &Value, mask: &Value) -> Value {
    match (value, mask) {
        (Value::U8(v), Value::U8(m)) => Value::U8(v & m),
        (Value::U32(v), Value::U32(m)) => Value::U32(v & m),
        (Value::Ip4(v), Value::Ip4(m)) => Value::Ip4(v & m),
        (Value::Ip6(v), Value::Ip6(m)) => Value::Ip6(v & m),
        other => panic!("the interpreter lacks masks of {other:?}"),
    }
}
