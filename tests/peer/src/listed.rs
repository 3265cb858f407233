//! The list of known differences: one line each, with a verdict and a reason.
//!
//! ```text
//! # comment
//! verdict | path | ours | theirs | reason
//! ```
//! `*` in path, ours and theirs stands for any text. A line may cover several differences that have the same reason.

use anyhow::{Context as _, Result, bail, ensure};

use crate::compare::Difference;

/// Who is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Intended.
    Ours,
    /// To be changed in Cofferdam.
    Mend,
    /// A fault or a freedom of the peer.
    Theirs,
}

/// A line of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its number in the file.
    pub number: usize,
    /// Who is right.
    pub verdict: Verdict,
    /// The path, ours and theirs of a difference, with `*` for any text.
    pub patterns: [String; 3],
    /// Why.
    pub reason: String,
}

/// The whole list.
#[derive(Clone, Debug, Default)]
pub struct Listed {
    /// In the order of the file.
    pub lines: Vec<Line>,
}

/// What is wrong with a list.
#[derive(Clone, Debug, Default)]
pub struct Judged {
    /// Differences that no line covers.
    pub unlisted: Vec<Difference>,
    /// Lines that cover no difference.
    pub gone: Vec<Line>,
    /// How many differences each verdict covers.
    pub count: std::collections::BTreeMap<Verdict, usize>,
}

impl Listed {
    /// Reads a list.
    pub fn parse(text: &str) -> Result<Self> {
        let mut lines = Vec::new();
        for (number, line) in text.lines().enumerate() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            lines.push(parse_line(number + 1, line).with_context(|| format!("line {}: {line}", number + 1))?);
        }
        Ok(Self { lines })
    }

    /// Holds differences against the list. The first line that fits a difference covers it.
    pub fn judge(&self, found: &[Difference]) -> Judged {
        let mut judged = Judged::default();
        let mut used = vec![false; self.lines.len()];
        for difference in found {
            match self.lines.iter().position(|line| line.fits(difference)) {
                Some(at) => {
                    used[at] = true;
                    *judged.count.entry(self.lines[at].verdict).or_default() += 1;
                }
                None => judged.unlisted.push(difference.clone()),
            }
        }
        let gone = self.lines.iter().zip(used).filter(|(_, used)| !used);
        judged.gone = gone.map(|(line, _)| line.clone()).collect();
        judged
    }
}

impl Line {
    fn fits(&self, difference: &Difference) -> bool {
        let texts = [&difference.path, &difference.ours, &difference.theirs];
        self.patterns.iter().zip(texts).all(|(pattern, text)| fits(pattern, text))
    }
}

fn parse_line(number: usize, line: &str) -> Result<Line> {
    let fields: Vec<&str> = line.splitn(5, '|').map(str::trim).collect();
    let [verdict, path, ours, theirs, reason] = fields.as_slice() else { bail!("five fields are needed") };
    let verdict = match *verdict {
        "ours" => Verdict::Ours,
        "mend" => Verdict::Mend,
        "theirs" => Verdict::Theirs,
        other => bail!("{other} is none of ours, mend and theirs"),
    };
    ensure!(!reason.is_empty(), "a reason is needed");
    let patterns = [path, ours, theirs].map(|text| (*text).to_owned());
    Ok(Line { number, verdict, patterns, reason: (*reason).to_owned() })
}

/// Whether the whole text fits a pattern in which `*` stands for any text.
fn fits(pattern: &str, text: &str) -> bool {
    let parts: Vec<&str> = pattern.split('*').collect();
    let [first, .., last] = parts.as_slice() else { return pattern == text };
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    for part in &parts[1..parts.len() - 1] {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(path: &str, ours: &str, theirs: &str) -> Difference {
        Difference { path: path.into(), ours: ours.into(), theirs: theirs.into() }
    }

    #[test]
    fn stars_stand_for_any_text() {
        for (pattern, text) in
            [("a*c", "abc"), ("*", ""), ("*b*", "abc"), ("a*", "a"), ("ab", "ab"), ("a*b*c", "a-b-b-c")]
        {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("a*c", "abd"), ("ab", "abc"), ("a*a", "a"), ("*b*", "ac")] {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn what_is_not_listed_and_what_is_gone_are_told() {
        let text = "# a list\n\nours | a: * | 1 | 2 | because\nmend | z | 1 | - | later\n";
        let judged = Listed::parse(text).unwrap().judge(&[difference("a: b", "1", "2"), difference("c", "1", "2")]);
        assert_eq!(judged.unlisted, [difference("c", "1", "2")]);
        assert_eq!(judged.gone.iter().map(|line| line.number).collect::<Vec<_>>(), [4]);
        assert_eq!(judged.count[&Verdict::Ours], 1);
    }

    #[test]
    fn a_line_without_reason_or_with_another_verdict_is_an_error() {
        assert!(Listed::parse("ours | a | 1 | 2 |").is_err());
        assert!(Listed::parse("maybe | a | 1 | 2 | because").is_err());
        assert!(Listed::parse("ours | a | 1").is_err());
    }
}
