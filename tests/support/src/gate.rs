//! The one gate of tests that need more than an ordinary account.
//!
//! `#[needs(root)]` above `#[test]` (or `#[tokio::test]`) makes a test *ignored*: `cargo test` and `cargo nextest run`
//! list it so and pass it by, for root too. `make test-kernel` and `make test-e2e` ask for the ignored ones
//! (`--run-ignored only`); then a test that has not got what it needs fails, so that a run without root can never look
//! like one that tested something.
//!
//! Programs that fork, and therefore have no threads and no libtest (`harness = false`), list their tests by
//! [`forking_main`], which keeps to the same rule.

use libtest_mimic::{Arguments, Trial};

/// A test of a program without libtest: its name, and what panics when it fails.
pub type Case = (&'static str, fn());

/// What `#[needs(root)]` puts at the beginning of a test.
///
/// # Panics
/// Without root.
pub fn root() {
    assert!(rustix::process::geteuid().is_root(), "needs root: run it as root, or leave out the ignored tests");
}

/// What `#[needs(network)]` puts at the beginning of a test: package registries, unless the caches have it all. A test
/// that asks in vain fails by itself.
pub fn network() {}

/// `main` of a test program without libtest whose tests need root. They run on the main thread, one after the other.
pub fn forking_main(cases: &[&[Case]]) -> ! {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let trial = |&(name, case): &Case| {
        let run = move || {
            root();
            case();
            Ok(())
        };
        Trial::test(name, run).with_ignored_flag(true)
    };
    libtest_mimic::run(&arguments, cases.iter().copied().flatten().map(trial).collect()).exit()
}
