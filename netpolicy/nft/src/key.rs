//! Bytes of keys: how values lie in registers and set elements. Pure.

use cofferdam_netpolicy::ir::{Field, Interval, KeyType, Set, SetKind, Value};
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::ffi::{Invalid, MAX_DATA};

/// Flags of sets (NFT_SET_*).
pub const INTERVAL: u32 = 4;
pub const MAP: u32 = 8;
pub const CONCAT: u32 = 0x80;
/// NFT_SET_ELEM_INTERVAL_END.
pub const INTERVAL_END: u32 = 1;

/// Bits of one type in a concatenation's number (nft's own, so that `nft list` shows types).
const TYPE_BITS: u32 = 6;
const TYPES: [(KeyType, u32); 6] = [
    (KeyType::Ip4, 7),
    (KeyType::Ip6, 8),
    (KeyType::Proto, 12),
    (KeyType::Port, 13),
    (KeyType::Mark, 19),
    (KeyType::Ifname, 41),
];

/// The number by which nft knows this key.
pub fn type_number(key: &[KeyType]) -> u32 {
    let number = |kind: &KeyType| TYPES.iter().find(|(k, _)| k == kind).map_or(0, |(_, n)| *n);
    key.iter().fold(0, |all, kind| (all << TYPE_BITS) | number(kind))
}

/// The key of such a number; `None` if it is not one of ours.
pub fn types_of(mut number: u32) -> Option<Vec<KeyType>> {
    let mut key = Vec::new();
    while number != 0 {
        let part = number & ((1 << TYPE_BITS) - 1);
        key.push(TYPES.iter().find(|(_, n)| *n == part)?.0);
        number >>= TYPE_BITS;
    }
    key.reverse();
    (!key.is_empty()).then_some(key)
}

/// Bytes of a value of this type.
pub fn width(kind: KeyType) -> usize {
    match kind {
        KeyType::Ip4 | KeyType::Mark => 4,
        KeyType::Ip6 | KeyType::Ifname => 16,
        KeyType::Proto => 1,
        KeyType::Port => 2,
    }
}

/// Bytes it takes in a register: whole words of 4.
pub fn padded(width: usize) -> usize {
    width.next_multiple_of(4)
}

/// Length of the whole key.
pub fn key_len(key: &[KeyType]) -> usize {
    match key {
        [one] => width(*one),
        many => many.iter().map(|kind| padded(width(*kind))).sum(),
    }
}

/// Flags with which the kernel makes this set.
pub fn flags(set: &Set) -> u32 {
    let interval = if set.intervals { INTERVAL } else { 0 };
    let concat = if set.intervals && set.key.len() > 1 { CONCAT } else { 0 };
    interval | concat | if set.kind == SetKind::Verdicts { MAP } else { 0 }
}

/// What a set must be so that the kernel can take it.
pub fn check(set: &Set) -> Result<(), Invalid> {
    let bad = |what: &str| Err(Invalid::Type(what.to_owned()));
    match set {
        Set { key, .. } if key.is_empty() || key.len() > 5 => bad("a key of no parts, or of more than 5"),
        Set { key, .. } if key_len(key) > MAX_DATA => bad("a key of more than 64 bytes"),
        Set { intervals: true, key, .. } if key.iter().any(|k| matches!(k, KeyType::Ifname | KeyType::Mark)) => {
            bad("intervals of interface names or marks")
        }
        _ => Ok(()),
    }
}

/// The bytes of a constant of this type.
pub fn bytes(kind: KeyType, value: &Value) -> Result<Vec<u8>, Invalid> {
    Ok(match (kind, value) {
        (KeyType::Ip4, Value::Ip4(a)) => a.octets().to_vec(),
        (KeyType::Ip6, Value::Ip6(a)) => a.octets().to_vec(),
        (KeyType::Proto, Value::U8(p)) => vec![*p],
        (KeyType::Port, Value::Port(p)) => p.to_be_bytes().to_vec(),
        (KeyType::Mark, Value::U32(m)) => m.to_ne_bytes().to_vec(),
        (KeyType::Ifname, Value::Ifname(name)) if !name.is_empty() && name.len() < 16 && !name.contains('\0') => {
            let mut padded = name.as_bytes().to_vec();
            padded.resize(16, 0);
            padded
        }
        _ => return Err(Invalid::Type(format!("{value:?} is not a {kind:?}"))),
    })
}

/// The type of what a field loads.
pub fn field_type(field: Field) -> FieldType {
    match field {
        Field::Iifname | Field::Oifname => FieldType::Key(KeyType::Ifname),
        Field::L4proto | Field::Nfproto => FieldType::Key(KeyType::Proto),
        Field::Mark | Field::CtMark => FieldType::Key(KeyType::Mark),
        Field::Ip4Saddr | Field::Ip4Daddr => FieldType::Key(KeyType::Ip4),
        Field::Ip6Saddr | Field::Ip6Daddr => FieldType::Key(KeyType::Ip6),
        Field::Sport | Field::Dport => FieldType::Key(KeyType::Port),
        Field::TcpFlags | Field::IcmpType | Field::Icmp6Type | Field::CtDirection => FieldType::Byte,
        Field::Ip4Ttl | Field::Ip6HopLimit => FieldType::Byte,
        Field::CtState | Field::CtStatus | Field::FibDaddrType | Field::FibSaddrType => FieldType::Word,
    }
}

/// What a field loads.
#[derive(Debug, Clone, Copy)]
pub enum FieldType {
    /// Something that may also be in a set.
    Key(KeyType),
    /// One byte.
    Byte,
    /// 32 bits in the host's order.
    Word,
}

/// The bytes of a constant compared with this field.
pub fn constant(field: Field, value: &Value) -> Result<Vec<u8>, Invalid> {
    match (field_type(field), value) {
        (FieldType::Key(KeyType::Ifname), Value::IfnamePrefix(prefix)) if !prefix.is_empty() && prefix.len() < 15 => {
            Ok(prefix.as_bytes().to_vec())
        }
        (FieldType::Key(kind), value) => bytes(kind, value),
        (FieldType::Byte, Value::U8(byte)) => Ok(vec![*byte]),
        (FieldType::Word, Value::U32(word)) => Ok(word.to_ne_bytes().to_vec()),
        (_, value) => Err(Invalid::Type(format!("{value:?} compared with {field:?}"))),
    }
}

/// First and last key of an element. In sets without intervals both are the same.
pub fn element(set: &Set, element: &[Interval]) -> Result<(Vec<u8>, Vec<u8>), Invalid> {
    if element.len() != set.key.len() {
        return Err(Invalid::Type(format!("an element of {} parts in a set of {}", element.len(), set.key.len())));
    }
    let (mut first, mut last) = (Vec::new(), Vec::new());
    for (kind, part) in set.key.iter().zip(element) {
        let (a, b) = (bytes(*kind, &part.first)?, bytes(*kind, &part.last)?);
        if a > b || (a != b && !set.intervals) {
            return Err(Invalid::Type(format!("{part:?} is not allowed in this set")));
        }
        let size = if set.key.len() == 1 { a.len() } else { padded(a.len()) };
        first.extend(a);
        first.resize(first.len().next_multiple_of(size.min(4)), 0);
        last.extend(b);
        last.resize(last.len().next_multiple_of(size.min(4)), 0);
    }
    Ok((first, last))
}

/// The key after this one; `None` after the last of all.
pub fn successor(key: &[u8]) -> Option<Vec<u8>> {
    let mut next = key.to_vec();
    for byte in next.iter_mut().rev() {
        let (sum, carry) = byte.overflowing_add(1);
        *byte = sum;
        if !carry {
            return Some(next);
        }
    }
    None
}

/// The key before this one; all ones before the first.
pub fn predecessor(key: &[u8]) -> Vec<u8> {
    let mut previous = key.to_vec();
    for byte in previous.iter_mut().rev() {
        let (difference, borrow) = byte.overflowing_sub(1);
        *byte = difference;
        if !borrow {
            break;
        }
    }
    previous
}

/// The element of these keys; `None` if their length is not that of the type.
pub fn parse(key: &[KeyType], first: &[u8], last: &[u8]) -> Option<Vec<Interval>> {
    let mut element = Vec::new();
    let mut offset = 0;
    for kind in key {
        let end = offset + width(*kind);
        let interval =
            Interval { first: value(*kind, first.get(offset..end)?)?, last: value(*kind, last.get(offset..end)?)? };
        element.push(interval);
        offset += if key.len() == 1 { width(*kind) } else { padded(width(*kind)) };
    }
    Some(element)
}

fn value(kind: KeyType, bytes: &[u8]) -> Option<Value> {
    Some(match kind {
        KeyType::Ip4 => Value::Ip4(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        KeyType::Ip6 => Value::Ip6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)),
        KeyType::Ifname => {
            let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
            Value::Ifname(String::from_utf8(bytes[..end].to_vec()).ok()?)
        }
        KeyType::Proto => Value::U8(*bytes.first()?),
        KeyType::Port => Value::Port(u16::from_be_bytes(bytes.try_into().ok()?)),
        KeyType::Mark => Value::U32(u32::from_ne_bytes(bytes.try_into().ok()?)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_survive_their_number() {
        let key = [KeyType::Ifname, KeyType::Ip6, KeyType::Proto, KeyType::Port];
        assert_eq!(types_of(type_number(&key)).unwrap(), key);
        assert_eq!(types_of(3), None);
    }

    #[test]
    fn concatenated_parts_fill_whole_words() {
        let set = Set::hash(&[KeyType::Ip4, KeyType::Proto, KeyType::Port]);
        let one = vec![Interval::exact(Value::Ip4([10, 0, 0, 1].into())), Interval::proto(6), Interval::port(80)];
        let (first, last) = element(&set, &one).unwrap();
        assert_eq!(first, [10, 0, 0, 1, 6, 0, 0, 0, 0, 80, 0, 0]);
        assert_eq!(parse(&set.key, &first, &last).unwrap(), one);
    }

    #[test]
    fn ranges_are_refused_where_the_set_has_none() {
        let set = Set::hash(&[KeyType::Port]);
        assert!(element(&set, &[Interval::range(Value::Port(1), Value::Port(2))]).is_err());
        assert_eq!(element(&Set::intervals(&[KeyType::Port]), &[Interval::port(7)]).unwrap().0, [0, 7]);
    }

    #[test]
    fn successors_carry_and_end() {
        assert_eq!(successor(&[0, 255]), Some(vec![1, 0]));
        assert_eq!(successor(&[255, 255]), None);
        assert_eq!(predecessor(&[1, 0]), [0, 255]);
    }
}
