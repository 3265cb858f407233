//! Chains of other tables that drop what is forwarded: a packet that our rules accept is lost there all the same. Pure.

use cofferdam_netpolicy::ir::{NFPROTO_IPV4, NFPROTO_IPV6};

/// Attributes of a chain, of its hook, and numbers of the kernel (nf_tables.h).
const TABLE: u16 = 1;
const NAME: u16 = 3;
const HOOK: u16 = 4;
const POLICY: u16 = 5;
const HOOK_NUMBER: u16 = 1;
const FORWARD: u32 = 2;
const DROP: u32 = 0;
/// nfgenmsg's family of a table inet.
const INET: u8 = 1;

/// The attributes in these bytes: type without flags, and value.
pub fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let header = bytes.get(..4)?;
        let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let kind = u16::from_ne_bytes([header[2], header[3]]) & 0x3fff;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The first attribute of this type.
pub fn attribute(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(found, _)| *found == kind).map(|(_, value)| value)
}

/// A text without its end.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.strip_suffix(&[0]).unwrap_or(bytes)).into_owned()
}

/// The name of the table that a message (without its netlink header) is about, and its family.
pub fn table_of(body: &[u8]) -> Option<(u8, String)> {
    Some((*body.first()?, text(attribute(body.get(4..)?, TABLE)?)))
}

/// Says so if this chain, as the kernel lists it, drops what is forwarded and is not of the table `ours`.
pub fn drops_forwarded(body: &[u8], ours: &str) -> Option<String> {
    let (family, table) = table_of(body)?;
    let attributes = body.get(4..)?;
    let number = |bytes: &[u8]| bytes.try_into().ok().map(u32::from_be_bytes);
    let hook = attribute(attribute(attributes, HOOK)?, HOOK_NUMBER).and_then(number)?;
    let policy = attribute(attributes, POLICY).and_then(number)?;
    if hook != FORWARD || policy != DROP || (family == INET && table == ours) {
        return None;
    }
    let family = match family {
        INET => "inet",
        NFPROTO_IPV4 => "ip",
        NFPROTO_IPV6 => "ip6",
        _ => return None,
    };
    let chain = text(attribute(attributes, NAME)?);
    Some(format!(
        "nftables table {family} {table}: chain {chain} drops forwarded packets that none of its rules \
         accepts (policy drop), those of pods too"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attr(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = ((value.len() + 4) as u16).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn chain(family: u8, table: &str, hook: u32, policy: u32) -> Vec<u8> {
        let mut bytes = vec![family, 0, 0, 0];
        bytes.extend(attr(TABLE, format!("{table}\0").as_bytes()));
        bytes.extend(attr(NAME, b"FORWARD\0"));
        bytes.extend(attr(HOOK | 0x8000, &attr(HOOK_NUMBER, &hook.to_be_bytes())));
        bytes.extend(attr(POLICY, &policy.to_be_bytes()));
        bytes
    }

    #[test]
    fn only_a_forward_chain_of_others_with_policy_drop_is_told() {
        let told = |bytes: Vec<u8>| drops_forwarded(&bytes, "cofferdam");
        assert!(told(chain(NFPROTO_IPV4, "filter", FORWARD, DROP)).unwrap().contains("table ip filter: chain FORWARD"));
        assert!(told(chain(NFPROTO_IPV6, "cofferdam", FORWARD, DROP)).is_some());
        assert_eq!(told(chain(INET, "cofferdam", FORWARD, DROP)), None);
        assert_eq!(told(chain(INET, "other", FORWARD, 1)), None);
        assert_eq!(told(chain(INET, "other", 1, DROP)), None);
        assert_eq!(told(vec![1, 0, 0, 0, 9]), None);
    }
}
