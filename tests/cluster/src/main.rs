//! All of upstream's node conformance tests, against the list of those that are known not to pass (`make conformance`).

use std::time::Duration;

use anyhow::Result;
use cofferdam_cluster_tests::{Specs, conforms};

/// A machine with two processors takes twenty minutes.
const LIMIT: Duration = Duration::from_secs(2 * 60 * 60);

fn main() -> Result<()> {
    cofferdam_test_support::gate::root();
    conforms("conformance", Specs::NodeConformance, LIMIT)
}
