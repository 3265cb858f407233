//! Ids of pod sandboxes and containers: 64 lower-case hex digits, random.

use std::sync::Arc;

use cofferdam_store::{Reader, Record};
use rustix::rand::{GetRandomFlags, getrandom};

use crate::error::Error;

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
fn plausible(id: &str) -> bool {
    !id.is_empty() && id.len() <= 64 && id.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The record that a client means by an id or an unambiguous prefix of one, among those it may see.
pub(crate) fn find<T: Record>(
    what: &str,
    id: &str,
    records: &Reader<T>,
    visible: impl Fn(&T) -> bool,
) -> Result<Arc<T>, Error> {
    let not_found = || Error::NotFound(format!("{what} {id:?} not found"));
    if !plausible(id) {
        return Err(not_found());
    }
    let mut found: Vec<Arc<T>> = records.with_prefix(id).into_iter().filter(|e| visible(e)).collect();
    if let Some(exact) = found.iter().find(|e| e.id() == id) {
        return Ok(exact.clone());
    }
    match (found.pop(), found.is_empty()) {
        (Some(only), true) => Ok(only),
        (Some(_), false) => Err(Error::Invalid(format!("{what} {id:?} is ambiguous"))),
        (None, _) => Err(not_found()),
    }
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
