//! A few of upstream's end-to-end tests, of each kind, that are through in a moment. `make conformance` runs all of
//! them.

use std::time::Duration;

use anyhow::Result;
use cofferdam_cluster_tests::{Specs, conforms};
use cofferdam_test_support::needs;

/// Their names, a line each.
const QUICK: &str = include_str!("../quick");

#[needs(root)]
#[test]
fn quick_specs() -> Result<()> {
    let names: Vec<&str> = QUICK.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    conforms("quick", Specs::Named(&names), Duration::from_secs(20 * 60))
}
