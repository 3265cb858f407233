//! The list of specs that are known not to pass, and the comparison of a report with it.
//!
//! ```text
//! # A comment.
//! specs: 142
//! fails: the reason, for all specs below it
//!     the name of a spec
//! skipped: the reason
//!     the name of a spec
//! fails or skipped: what of the host it depends on
//!     the name of a spec
//! fails or passes: what of the host it depends on
//!     the name of a spec
//! ```

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};

use crate::junit::{Case, Outcome};

/// The list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// How many specs the suite has: a report with fewer is of a run that was cut short.
    specs: usize,
    listed: BTreeMap<String, Outcomes>,
}

/// What a listed spec may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcomes {
    /// It fails.
    Fails,
    /// It skips itself.
    Skipped,
    /// One or the other, by what the host has.
    FailsOrSkipped,
    /// The same.
    FailsOrPasses,
}

impl Outcomes {
    fn allow(self, outcome: Outcome) -> bool {
        match outcome {
            Outcome::Passed => self == Self::FailsOrPasses,
            Outcome::Failed => self != Self::Skipped,
            Outcome::Skipped => matches!(self, Self::Skipped | Self::FailsOrSkipped),
        }
    }
}

impl Expected {
    /// Reads the list.
    pub fn parse(text: &str) -> Result<Self> {
        let mut specs = None;
        let mut section = None;
        let mut listed = BTreeMap::new();
        for (number, line) in text.lines().enumerate() {
            let at = || format!("line {}: {line}", number + 1);
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(name) = line.strip_prefix("    ") {
                let outcomes = section.with_context(|| format!("{}: above any reason", at()))?;
                ensure!(listed.insert(name.to_owned(), outcomes).is_none(), "{}: listed twice", at());
                continue;
            }
            let (key, value) = line.split_once(": ").with_context(at)?;
            ensure!(!value.trim().is_empty(), "{}: no reason", at());
            match key {
                "specs" => specs = Some(value.parse().with_context(at)?),
                "fails" => section = Some(Outcomes::Fails),
                "skipped" => section = Some(Outcomes::Skipped),
                "fails or skipped" => section = Some(Outcomes::FailsOrSkipped),
                "fails or passes" => section = Some(Outcomes::FailsOrPasses),
                _ => bail!("{}: neither specs, fails, skipped, fails or skipped nor fails or passes", at()),
            }
        }
        Ok(Self { specs: specs.context("no number of specs")?, listed })
    }

    /// The list for a run of these specs alone.
    #[must_use]
    pub fn only(&self, names: &[&str]) -> Self {
        let listed = self.listed.iter().filter(|(name, _)| names.contains(&name.as_str()));
        Self { specs: names.len(), listed: listed.map(|(name, outcomes)| (name.clone(), *outcomes)).collect() }
    }

    /// Whether a case is one that fails though it is not listed.
    pub fn fails_unexpectedly(&self, case: &Case) -> bool {
        case.outcome == Outcome::Failed && !self.listed.get(&case.name).is_some_and(|may| may.allow(Outcome::Failed))
    }

    /// Everything in which the report differs from the list, a line each.
    pub fn differences(&self, cases: &[Case]) -> Vec<String> {
        let mut differences = Vec::new();
        let specs: Vec<&Case> = cases.iter().filter(|case| !is_suite_node(case)).collect();
        if specs.len() != self.specs {
            differences.push(format!("the report has {} specs, the list says {}", specs.len(), self.specs));
        }
        for case in cases {
            if let Some(text) = self.difference(case) {
                differences.push(text);
            }
        }
        let gone = self.listed.keys().filter(|name| !specs.iter().any(|case| case.name == **name));
        differences.extend(gone.map(|name| format!("listed, but there is no such spec: {name}")));
        differences
    }

    fn difference(&self, case: &Case) -> Option<String> {
        let Case { name, outcome, message } = case;
        match (self.listed.get(name), outcome) {
            (None, Outcome::Passed) => None,
            (None, _) if is_suite_node(case) && *outcome == Outcome::Skipped => None,
            (None, _) => Some(format!("{outcome}, and not listed: {name}\n{}", indented(message))),
            (Some(may), outcome) if may.allow(*outcome) => None,
            (Some(_), Outcome::Passed) => Some(format!("passes, so it comes off the list: {name}")),
            (Some(may), _) => Some(format!("{outcome}, listed as {may:?}: {name}\n{}", indented(message))),
        }
    }
}

/// `[BeforeSuite]`, `[AfterSuite]` and the like: what the suite does around its specs.
fn is_suite_node(case: &Case) -> bool {
    case.name.split(']').next().is_some_and(|kind| kind.ends_with("Suite"))
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "# of a test\nspecs: 4\n\nfails: not there yet\n    a\nskipped: no such thing\n    b\n\
                        fails or skipped: by the host\n    c\n";

    fn cases(outcomes: &[(&str, Outcome)]) -> Vec<Case> {
        let case = |(name, outcome): &(&str, Outcome)| Case {
            name: (*name).to_owned(),
            outcome: *outcome,
            message: "said".to_owned(),
        };
        outcomes.iter().map(case).collect()
    }

    fn differences(outcomes: &[(&str, Outcome)]) -> Vec<String> {
        Expected::parse(LIST).unwrap().differences(&cases(outcomes))
    }

    use Outcome::{Failed, Passed, Skipped};

    #[test]
    fn what_the_list_says_is_no_difference() {
        assert!(differences(&[("a", Failed), ("b", Skipped), ("c", Failed), ("d", Passed)]).is_empty());
        let with_suite = [("[BeforeSuite]", Passed), ("a", Failed), ("b", Skipped), ("c", Skipped), ("d", Passed)];
        assert!(differences(&with_suite).is_empty());
    }

    #[test]
    fn a_failure_that_is_not_listed_is_a_difference_with_its_message() {
        let found = differences(&[("a", Failed), ("b", Skipped), ("c", Skipped), ("d", Failed)]);
        assert_eq!(found, ["failed, and not listed: d\n    said"]);
    }

    #[test]
    fn a_skip_that_is_not_listed_is_a_difference() {
        let found = differences(&[("a", Failed), ("b", Skipped), ("c", Skipped), ("d", Skipped)]);
        assert_eq!(found, ["skipped, and not listed: d\n    said"]);
    }

    #[test]
    fn a_listed_spec_that_passes_comes_off_the_list() {
        let found = differences(&[("a", Passed), ("b", Passed), ("c", Passed), ("d", Passed)]);
        let off = |name: &str| format!("passes, so it comes off the list: {name}");
        assert_eq!(found, [off("a"), off("b"), off("c")]);
    }

    #[test]
    fn failing_instead_of_skipping_is_a_difference_and_the_other_way_round() {
        let found = differences(&[("a", Skipped), ("b", Failed), ("c", Skipped), ("d", Passed)]);
        assert_eq!(found, ["skipped, listed as Fails: a\n    said", "failed, listed as Skipped: b\n    said"]);
    }

    #[test]
    fn a_run_that_was_cut_short_is_a_difference() {
        let found = differences(&[("a", Failed), ("b", Skipped), ("[AfterSuite]", Failed)]);
        assert_eq!(
            found,
            [
                "the report has 2 specs, the list says 4",
                "failed, and not listed: [AfterSuite]\n    said",
                "listed, but there is no such spec: c",
            ]
        );
    }

    #[test]
    fn only_failures_that_the_list_does_not_allow_are_tried_again() {
        let list = Expected::parse(LIST).unwrap();
        let all = cases(&[("a", Failed), ("b", Failed), ("c", Failed), ("d", Failed), ("e", Passed)]);
        let again: Vec<&str> =
            all.iter().filter(|case| list.fails_unexpectedly(case)).map(|case| case.name.as_str()).collect();
        assert_eq!(again, ["b", "d"]);
    }

    #[test]
    fn a_run_of_a_part_is_held_against_that_part_of_the_list() {
        let list = Expected::parse(LIST).unwrap().only(&["a", "d"]);
        assert!(list.differences(&cases(&[("a", Failed), ("d", Passed)])).is_empty());
        assert_eq!(list.differences(&cases(&[("a", Failed)])), ["the report has 1 specs, the list says 2"]);
    }

    #[test]
    fn a_list_with_a_mistake_is_refused() {
        for text in [
            "fails: x\n    a\n",
            "specs: 1\n    a\n",
            "specs: 1\nfails: x\n    a\n    a\n",
            "specs: many\n",
            "specs: 1\nfails: \n    a\n",
            "specs: 1\nbroken: x\n    a\n",
            "specs: 1\nfails: x\na\n",
        ] {
            assert!(Expected::parse(text).is_err(), "{text}");
        }
    }
}
