//! Upstream's end-to-end tests (`e2e.test`) against a cluster.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use cofferdam_test_support::expected::Expected;
use cofferdam_test_support::junit::{self, Case, Outcome};
use cofferdam_test_support::kubernetes_path;

use crate::bed::Cluster;
use crate::component::Component;

/// How many specs run at the same time. They mostly wait, for pods to start and to end.
const PROCESSES: usize = 6;

/// What every run leaves out: specs that need a node of their own, take long, or are about what is not there yet.
const SKIP: &str = r"\[Serial\]|\[Slow\]|\[Disruptive\]|\[Flaky\]|\[Feature:|\[Alpha\]";

/// The specs that are known not to pass, with reasons.
const EXPECTED: &str = include_str!("../expected");

/// Runs the specs against a new cluster, compares with the list of those that do not pass, and checks that nothing is
/// left behind.
pub fn conforms(name: &str, specs: Specs<'_>, limit: Duration) -> Result<()> {
    let expected = Expected::parse(EXPECTED).context("tests/cluster/expected")?;
    let expected = match specs {
        Specs::NodeConformance => expected,
        Specs::Named(names) => expected.only(names),
    };
    let cluster = Cluster::start(name)?;
    cluster.start_dns()?;
    let differences = expected.differences(&cluster.conformance(specs, limit)?);
    ensure!(differences.is_empty(), "upstream's tests and tests/cluster/expected differ:\n{}", differences.join("\n"));
    cluster.stop()
}

/// Which specs to run.
#[derive(Clone, Copy, Debug)]
pub enum Specs<'a> {
    /// All that say what every node has to do.
    NodeConformance,
    /// Those with these names.
    Named(&'a [&'a str]),
}

impl Specs<'_> {
    /// A regular expression (Go's) for the name of a spec behind the name of the suite.
    fn focus(self) -> String {
        match self {
            Specs::NodeConformance => r"\[NodeConformance\]".to_owned(),
            Specs::Named(names) => {
                format!(" ({})$", names.iter().map(|name| escaped(name)).collect::<Vec<_>>().join("|"))
            }
        }
    }
}

impl Cluster {
    /// Runs the specs and returns how each ended; the others are left out. Needs the cluster's DNS. A run that is not
    /// through after `limit` is ended by ginkgo itself, which then reports where it was.
    pub fn conformance(&self, specs: Specs<'_>, limit: Duration) -> Result<Vec<Case>> {
        let report = self.dir().join("junit.xml");
        let arguments = self.arguments(specs, limit)?;
        let host = &self.daemon().host().host;
        let ginkgo = Component::start(host, self.dir(), "ginkgo", &kubernetes_path("ginkgo", "e2e")?, &arguments)?;
        let status = ginkgo.finish(limit + Duration::from_secs(300))?;
        let xml =
            fs::read_to_string(&report).with_context(|| format!("ginkgo ({status}) wrote no {}", report.display()))?;
        let cases: Vec<Case> = junit::parse(&xml)?.into_iter().filter(was_chosen).map(without_labels).collect();
        ensure!(!cases.is_empty(), "no spec has run");
        Ok(cases)
    }

    fn arguments(&self, specs: Specs<'_>, limit: Duration) -> Result<Vec<String>> {
        Ok(vec![
            format!("--procs={PROCESSES}"),
            format!("--timeout={}s", limit.as_secs()),
            format!("--focus={}", specs.focus()),
            format!("--skip={SKIP}"),
            format!("--output-dir={}", self.dir().display()),
            "--junit-report=junit.xml".to_owned(),
            "--seed=1".to_owned(),
            "--no-color".to_owned(),
            "--silence-skips".to_owned(),
            kubernetes_path("e2e.test", "e2e")?.display().to_string(),
            "--".to_owned(),
            format!("--kubeconfig={}", self.kubeconfig().display()),
            format!("--kubectl-path={}", kubernetes_path("kubectl", "kubectl")?.display()),
            "--provider=skeleton".to_owned(),
            "--num-nodes=1".to_owned(),
        ])
    }
}

/// The report has every spec of the suite: those that the focus leaves out are skipped without a reason.
fn was_chosen(case: &Case) -> bool {
    case.outcome != Outcome::Skipped || case.message != "skipped"
}

/// The labels stand in brackets behind the name, and are in it as well where a focus can look for them.
fn without_labels(mut case: Case) -> Case {
    if let Some((name, _)) = case.name.rsplit_once(" [") {
        case.name = name.to_owned();
    }
    case
}

fn escaped(name: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || c == ' ';
    name.chars().flat_map(|c| (!plain(c)).then_some('\\').into_iter().chain([c])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(name: &str, outcome: Outcome, message: &str) -> Case {
        Case { name: name.to_owned(), outcome, message: message.to_owned() }
    }

    #[test]
    fn a_focus_matches_names_as_they_are() {
        assert_eq!(Specs::Named(&["[sig-node] a.b", "c"]).focus(), r" (\[sig\-node\] a\.b|c)$");
    }

    #[test]
    fn only_a_spec_that_gave_up_by_itself_counts_as_skipped() {
        assert!(!was_chosen(&case("a", Outcome::Skipped, "skipped")));
        assert!(was_chosen(&case("a", Outcome::Skipped, "skipped - no such node")));
        assert!(was_chosen(&case("a", Outcome::Failed, "skipped")));
    }

    #[test]
    fn labels_are_no_part_of_the_name() {
        let named = |name: &str| without_labels(case(name, Outcome::Passed, "")).name;
        assert_eq!(named("[sig-node] a [LinuxOnly] [sig-node, LinuxOnly]"), "[sig-node] a [LinuxOnly]");
        assert_eq!(named("a [sig-node]"), "a");
    }
}
