//! What each rule carries so that its chain can be recognised: a comment with the chain's digest and the rule's place.
//!
//! libnftnl keeps a comment in nft's own form: type 0, length, text, NUL.

use cofferdam_netpolicy::ir::{Chain, Digest, digest};

/// The comment of a chain's rule.
pub fn comment(chain: &Chain, index: usize) -> String {
    let digest: String = chain.digest().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{digest}:{}/{}", index + 1, chain.rules().len())
}

/// A comment that was read: the chain's digest, the rule's place, and the number of rules.
pub struct Mark {
    digest: Digest,
    index: usize,
    count: usize,
}

impl Mark {
    /// The mark in a rule's user data; `None` if somebody else wrote it.
    pub fn parse(data: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(data.get(2..)?).ok()?.trim_end_matches('\0');
        let (hex, place) = text.split_once(':')?;
        let (index, count) = place.split_once('/')?;
        let mut digest = Digest::default();
        if hex.len() != 2 * digest.len() {
            return None;
        }
        for (byte, pair) in digest.iter_mut().zip(hex.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Mark { digest, index: index.parse().ok()?, count: count.parse().ok()? })
    }
}

/// The digest of a chain by the marks of its rules; `None` unless all of its rules are there, in order.
pub fn chain_digest(marks: Option<&Vec<Option<Mark>>>) -> Option<Digest> {
    let Some(marks) = marks else { return Some(digest(&[])) };
    let expected = marks.first()?.as_ref()?;
    let whole = marks.len() == expected.count
        && marks
            .iter()
            .enumerate()
            .all(|(i, mark)| mark.as_ref().is_some_and(|m| m.digest == expected.digest && m.index == i + 1));
    whole.then_some(expected.digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cofferdam_netpolicy::ir::Expr;

    #[test]
    fn a_mark_survives_its_comment() {
        let chain = Chain::regular(vec![vec![Expr::Counter], vec![Expr::drop()]]);
        let read = |index: usize| {
            let text = comment(&chain, index);
            let mut data = vec![0, text.len() as u8 + 1];
            data.extend_from_slice(text.as_bytes());
            data.push(0);
            Mark::parse(&data)
        };
        assert_eq!(chain_digest(Some(&vec![read(0), read(1)])), Some(chain.digest()));
        assert_eq!(chain_digest(Some(&vec![read(1), read(0)])), None);
        assert_eq!(chain_digest(Some(&vec![read(0)])), None);
        assert!(Mark::parse(b"\0\x05hello").is_none());
    }
}
