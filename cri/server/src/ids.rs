//! Ids of pod sandboxes and containers: 64 lower-case hex digits, random.

use rustix::rand::{GetRandomFlags, getrandom};

/// A new id.
pub(crate) fn new() -> String {
    let mut bytes = [0_u8; 32];
    let mut filled = 0;
    while filled < bytes.len() {
        // Only EINTR can happen here, and a short read: both are tried again.
        filled += getrandom(&mut bytes[filled..], GetRandomFlags::empty()).unwrap_or(0);
    }
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Whether a client's id can be one of ours or a prefix of it: it becomes part of paths nowhere before this check.
pub(crate) fn plausible(id: &str) -> bool {
    !id.is_empty() && id.len() <= 64 && id.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_plausible_and_differ() {
        let (a, b) = (new(), new());
        assert!(plausible(&a) && a.len() == 64 && a != b);
    }

    #[test]
    fn paths_are_not_plausible() {
        assert!(!plausible("../x") && !plausible("") && !plausible(&"a".repeat(65)));
    }
}
