//! The JUnit report that ginkgo writes.

use std::fmt::{self, Display, Formatter};

use anyhow::{Context as _, Result, bail};
use roxmltree::{Document, Node};

/// One test case of the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// Its whole text, with labels. A node of the suite itself has its kind in front: `[BeforeSuite]`.
    pub name: String,
    /// How it ended.
    pub outcome: Outcome,
    /// What was said about a failure or a skip.
    pub message: String,
}

/// How a test case ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As it should.
    Passed,
    /// A failed assertion, a panic, a timeout.
    Failed,
    /// Not run, or given up by the spec itself because it does not apply.
    Skipped,
}

impl Display for Outcome {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        })
    }
}

/// The test cases of a report, specs without the `[It] ` in front.
pub fn parse(xml: &str) -> Result<Vec<Case>> {
    let document = Document::parse(xml).context("the JUnit report is not XML")?;
    document.descendants().filter(|node| node.has_tag_name("testcase")).map(case).collect()
}

fn case(node: Node<'_, '_>) -> Result<Case> {
    let name = node.attribute("name").context("a test case without a name")?;
    let (outcome, message) = match node.attribute("status").unwrap_or_default() {
        "passed" => (Outcome::Passed, String::new()),
        "skipped" | "pending" => (Outcome::Skipped, said(node, &["skipped"])),
        "failed" | "panicked" | "timedout" | "interrupted" | "aborted" => {
            (Outcome::Failed, said(node, &["failure", "error"]))
        }
        other => bail!("{name} has the status {other:?}"),
    };
    Ok(Case { name: name.strip_prefix("[It] ").unwrap_or(name).to_owned(), outcome, message })
}

/// The message and the text of the children with these names.
fn said(node: Node<'_, '_>, names: &[&str]) -> String {
    let children = node.children().filter(|child| names.iter().any(|name| child.has_tag_name(*name)));
    let texts = children.flat_map(|child| [child.attribute("message"), child.text()]).flatten();
    texts.map(str::trim).filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
  <testsuites tests="4" failures="1">
      <testsuite name="CRI validation" tests="4" skipped="1">
          <properties><property name="SuiteSucceeded" value="false"></property></properties>
          <testcase name="[BeforeSuite]" status="passed" time="0.1"><system-err>starting</system-err></testcase>
          <testcase name="[It] [k8s.io] Streaming should &lt;work&gt; [Conformance]" status="passed" time="1"></testcase>
          <testcase name="[It] [k8s.io] Benchmark" status="skipped" time="0"><skipped message="skipped - too slow"></skipped></testcase>
          <testcase name="[It] [k8s.io] Pod" status="failed" time="2"><failure message="Expected 1" type="failed">at pod.go:3</failure></testcase>
      </testsuite>
  </testsuites>"#;

    #[test]
    fn cases_have_name_outcome_and_message() {
        let case =
            |name: &str, outcome, message: &str| Case { name: name.to_owned(), outcome, message: message.to_owned() };
        assert_eq!(
            parse(REPORT).unwrap(),
            [
                case("[BeforeSuite]", Outcome::Passed, ""),
                case("[k8s.io] Streaming should <work> [Conformance]", Outcome::Passed, ""),
                case("[k8s.io] Benchmark", Outcome::Skipped, "skipped - too slow"),
                case("[k8s.io] Pod", Outcome::Failed, "Expected 1\nat pod.go:3"),
            ]
        );
    }

    #[test]
    fn what_is_cut_off_or_unknown_is_an_error() {
        assert!(parse(&REPORT[..REPORT.len() - 20]).is_err());
        assert!(parse(r#"<testsuites><testcase name="a" status="odd"/></testsuites>"#).is_err());
        assert!(parse(r#"<testsuites><testcase status="passed"/></testsuites>"#).is_err());
    }
}
