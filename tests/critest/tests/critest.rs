//! critest against the list of what does not pass.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use cofferdam_critest::{Suite, rerun_failed};
use cofferdam_test_support::expected::Expected;
use cofferdam_test_support::needs;

const LIST: &str = include_str!("../expected/namespace");

/// A busy machine takes several times as long as an idle one.
const LIMIT: Duration = Duration::from_secs(20 * 60);

/// An idle machine with two cores takes two minutes.
#[needs(root)]
#[test]
fn critest_passes_but_for_what_is_listed() -> Result<()> {
    let expected = Expected::parse(LIST).context("tests/critest/expected/namespace")?;
    let mut suite = Suite::start("namespace")?;
    let cases = suite.run(&[], LIMIT)?;
    let cases = rerun_failed(&mut suite, &expected, cases, LIMIT)?;
    let differences = expected.differences(&cases);
    ensure!(differences.is_empty(), "critest and tests/critest/expected/namespace differ:\n{}", differences.join("\n"));
    Ok(())
}
