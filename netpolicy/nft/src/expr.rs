//! Rules as the kernel's expressions: loads into registers, then one comparison or lookup.

use std::net::IpAddr;

use cofferdam_netpolicy::ir::{CmpOp, Expr, Field, KeyType, Nat, PacketVerdict, Value};
use nftnl::ProtoFamily;
use nftnl::expr::{Counter, Immediate, Masquerade, NatType, Register, Verdict};

use crate::ffi::{Invalid, NativeExpr, NativeRule, bitwise, cmp, name};
use crate::key::{self, FieldType};

/// NFT_REG32_00, the first of 16 registers of 4 bytes. It begins where the crate's `Register::Reg1`, of 16 bytes, does.
const REGISTER: u32 = 8;

/// Appends one expression of the IR.
pub fn append(rule: &mut NativeRule<'_>, expr: &Expr) -> Result<(), Invalid> {
    match expr {
        Expr::Cmp(field, op, value) => {
            rule.push(load(*field, REGISTER)?)?;
            rule.push(cmp(comparison(*op), &key::constant(*field, value)?)?)
        }
        Expr::Masked(field, mask, op, value) => {
            let (mask, value) = (key::constant(*field, mask)?, key::constant(*field, value)?);
            rule.push(load(*field, REGISTER)?)?;
            rule.push(bitwise(&mask, &vec![0; mask.len()])?)?;
            rule.push(cmp(comparison(*op), &value)?)
        }
        Expr::Range(field, op, from, to) => range(rule, *field, *op, from, to),
        Expr::Lookup(fields, op, set) => {
            load_key(rule, fields)?;
            rule.push(NativeExpr::lookup(REGISTER, set, *op == CmpOp::Ne)?)
        }
        Expr::Vmap(fields, map) => {
            load_key(rule, fields)?;
            rule.push(NativeExpr::verdict_map(REGISTER, map)?)
        }
        Expr::Counter => rule.push(Counter),
        Expr::Nflog { group, prefix } if prefix.len() < 128 => rule.push(NativeExpr::nflog(*group, prefix)?),
        Expr::Nflog { prefix, .. } => Err(Invalid::Name(prefix.clone())),
        Expr::Verdict(verdict) => rule.push(native_verdict(verdict)?),
        Expr::Masquerade => rule.push(Masquerade),
        Expr::Snat(nat) => translate(rule, NatType::SNat, nat),
        Expr::Dnat(nat) => translate(rule, NatType::DNat, nat),
        Expr::SetMark { mask, xor } => {
            change_mark(rule, Field::Mark, *mask, *xor)?;
            rule.push(NativeExpr::meta_store(META_MARK, REGISTER)?)
        }
        Expr::SetCtMark { mask, xor } => {
            change_mark(rule, Field::CtMark, *mask, *xor)?;
            rule.push(NativeExpr::ct_store(CT_MARK, REGISTER)?)
        }
    }
}

fn comparison(op: CmpOp) -> nftnl::expr::CmpOp {
    match op {
        CmpOp::Eq => nftnl::expr::CmpOp::Eq,
        CmpOp::Ne => nftnl::expr::CmpOp::Neq,
    }
}

fn native_verdict(verdict: &PacketVerdict) -> Result<Verdict, Invalid> {
    Ok(match verdict {
        PacketVerdict::Accept => Verdict::Accept,
        PacketVerdict::Drop => Verdict::Drop,
        PacketVerdict::Return => Verdict::Return,
        PacketVerdict::Jump(chain) => Verdict::Jump { chain: name(chain)? },
        PacketVerdict::Goto(chain) => Verdict::Goto { chain: name(chain)? },
    })
}

fn range(rule: &mut NativeRule<'_>, field: Field, op: CmpOp, from: &Value, to: &Value) -> Result<(), Invalid> {
    // Words lie in the host's order, in which the kernel's comparison of bytes is not that of numbers.
    if matches!(key::field_type(field), FieldType::Word | FieldType::Key(KeyType::Mark | KeyType::Ifname)) {
        return Err(Invalid::Type(format!("a range of {field:?}")));
    }
    let (from, to) = (key::constant(field, from)?, key::constant(field, to)?);
    if from > to {
        return Err(Invalid::Type(format!("an empty range of {field:?}")));
    }
    rule.push(load(field, REGISTER)?)?;
    rule.push(NativeExpr::range(REGISTER, op == CmpOp::Ne, &from, &to)?)
}

fn change_mark(rule: &mut NativeRule<'_>, field: Field, mask: u32, xor: u32) -> Result<(), Invalid> {
    rule.push(load(field, REGISTER)?)?;
    rule.push(bitwise(&mask.to_ne_bytes(), &xor.to_ne_bytes())?)
}

fn translate(rule: &mut NativeRule<'_>, nat_type: NatType, nat: &Nat) -> Result<(), Invalid> {
    let family = match nat.address {
        IpAddr::V4(a) => {
            rule.push(Immediate::new(a.octets(), Register::Reg1))?;
            ProtoFamily::Ipv4
        }
        IpAddr::V6(a) => {
            rule.push(Immediate::new(a.octets(), Register::Reg1))?;
            ProtoFamily::Ipv6
        }
    };
    if let Some(port) = nat.port {
        rule.push(Immediate::new(port.to_be_bytes(), Register::Reg2))?;
    }
    let port_register = nat.port.map(|_| Register::Reg2);
    rule.push(nftnl::expr::Nat { nat_type, family, ip_register: Register::Reg1, port_register })
}

/// The parts of a key, one after the other, each from a whole register on.
fn load_key(rule: &mut NativeRule<'_>, fields: &[Field]) -> Result<(), Invalid> {
    let mut register = REGISTER;
    for field in fields {
        let FieldType::Key(kind) = key::field_type(*field) else {
            return Err(Invalid::Type(format!("{field:?} in a set")));
        };
        let words = (key::padded(key::width(kind)) / 4) as u32;
        if register + words > REGISTER + 16 {
            return Err(Invalid::Data(((register - REGISTER + words) * 4) as usize));
        }
        rule.push(load(*field, register)?)?;
        register += words;
    }
    Ok(())
}

const META_MARK: u32 = 3;
const CT_MARK: u32 = 3;

/// The expression that loads a field (numbers: NFT_META_*, NFT_CT_*, offsets in the headers).
fn load(field: Field, register: u32) -> Result<NativeExpr, Invalid> {
    const NETWORK: u32 = 1;
    const TRANSPORT: u32 = 2;
    match field {
        Field::Mark => NativeExpr::meta_load(META_MARK, register),
        Field::Iifname => NativeExpr::meta_load(6, register),
        Field::Oifname => NativeExpr::meta_load(7, register),
        Field::Nfproto => NativeExpr::meta_load(15, register),
        Field::L4proto => NativeExpr::meta_load(16, register),
        Field::CtState => NativeExpr::ct_load(0, register),
        Field::CtDirection => NativeExpr::ct_load(1, register),
        Field::CtStatus => NativeExpr::ct_load(2, register),
        Field::CtMark => NativeExpr::ct_load(CT_MARK, register),
        Field::Ip4Saddr => NativeExpr::payload(NETWORK, 12, 4, register),
        Field::Ip4Daddr => NativeExpr::payload(NETWORK, 16, 4, register),
        Field::Ip4Ttl => NativeExpr::payload(NETWORK, 8, 1, register),
        Field::Ip6Saddr => NativeExpr::payload(NETWORK, 8, 16, register),
        Field::Ip6Daddr => NativeExpr::payload(NETWORK, 24, 16, register),
        Field::Ip6HopLimit => NativeExpr::payload(NETWORK, 7, 1, register),
        Field::Sport => NativeExpr::payload(TRANSPORT, 0, 2, register),
        Field::Dport => NativeExpr::payload(TRANSPORT, 2, 2, register),
        Field::TcpFlags => NativeExpr::payload(TRANSPORT, 13, 1, register),
        Field::IcmpType | Field::Icmp6Type => NativeExpr::payload(TRANSPORT, 0, 1, register),
        Field::FibSaddrType => NativeExpr::fib_type(1, register),
        Field::FibDaddrType => NativeExpr::fib_type(2, register),
    }
}

/// The number of an element's verdict (NF_DROP, NF_ACCEPT, NFT_*), and its chain.
pub fn verdict_code(verdict: &PacketVerdict) -> (i32, Option<&str>) {
    match verdict {
        PacketVerdict::Drop => (0, None),
        PacketVerdict::Accept => (1, None),
        PacketVerdict::Jump(chain) => (-3, Some(chain)),
        PacketVerdict::Goto(chain) => (-4, Some(chain)),
        PacketVerdict::Return => (-5, None),
    }
}

/// The verdict of a number; `None` if the compiler never writes it.
pub fn verdict_of(code: i32, chain: String) -> Option<PacketVerdict> {
    match code {
        0 => Some(PacketVerdict::Drop),
        1 => Some(PacketVerdict::Accept),
        -3 => Some(PacketVerdict::Jump(chain)),
        -4 => Some(PacketVerdict::Goto(chain)),
        -5 => Some(PacketVerdict::Return),
        _ => None,
    }
}
