//! Configs of pods and containers, as a user of the API server may shape them, with the accounts of an image.

use cofferdam_cri_server::fuzzing::{Request, container_spec};

/// Separates the parts of an input: pod config, container config, USER, accounts.
pub(crate) const BETWEEN: &[u8] = b"\n--\n";

/// The parts of an input, in the order of [`BETWEEN`].
pub fn configs(input: &[u8]) {
    let mut parts = Vec::new();
    let mut rest = input;
    while let Some(at) = rest.windows(BETWEEN.len()).position(|window| window == BETWEEN) {
        parts.push(&rest[..at]);
        rest = &rest[at + BETWEEN.len()..];
    }
    parts.push(rest);
    let part = |index: usize| parts.get(index).copied().unwrap_or_default();
    let text = |index| std::str::from_utf8(part(index)).unwrap_or_default();
    let request = Request { sandbox: part(0), container: part(1), user: text(2), accounts: text(3) };
    let Some(spec) = container_spec(&request) else { return };
    for mount in spec.oci.mounts().iter().flatten() {
        assert!(mount.destination().is_absolute(), "{mount:?}");
    }
    let process = spec.oci.process().as_ref().expect("a container has a process");
    assert!(process.args().as_ref().is_some_and(|args| !args.is_empty()), "nothing to run");
    assert!(process.cwd().is_absolute(), "{:?}", process.cwd());
}
