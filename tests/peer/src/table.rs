//! Differences as a table, and as lines to be put into a list.

use comfy_table::{ContentArrangement, Table};

use crate::compare::Difference;
use crate::listed::{Judged, Listed, Verdict};

/// What a run found, by verdict.
pub fn summary(family: &str, judged: &Judged, listed: &Listed) -> String {
    let mut table = Table::new();
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(100);
    table.set_header(["family", "verdict", "lines", "differences"]);
    for (verdict, name) in [(Verdict::Ours, "ours"), (Verdict::Mend, "mend"), (Verdict::Theirs, "theirs")] {
        let lines = listed.lines.iter().filter(|line| line.verdict == verdict).count();
        let count = judged.count.get(&verdict).copied().unwrap_or_default();
        table.add_row([family, name, &lines.to_string(), &count.to_string()]);
    }
    table.add_row([family, "not listed", "", &judged.unlisted.len().to_string()]);
    table.to_string()
}

/// As a line of the list, with the verdict and the reason to be filled in.
pub fn as_line(difference: &Difference) -> String {
    format!("? | {} | {} | {} | ?", difference.path, difference.ours, difference.theirs)
}
