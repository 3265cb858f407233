//! Medians, and the table of them.

/// What was measured of one thing, in one unit.
#[derive(Debug, Clone, Default)]
pub struct Series(Vec<f64>);

impl Series {
    /// One more.
    pub fn add(&mut self, value: f64) {
        self.0.push(value);
    }

    /// The median; `None` with no value.
    pub fn p50(&self) -> Option<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len().checked_sub(1)? / 2;
        if sorted.len() % 2 == 1 { Some(sorted[middle]) } else { Some((sorted[middle] + sorted[middle + 1]) / 2.0) }
    }
}

/// A line: what, ours, theirs, and the most that ours may be of theirs.
pub fn row(what: &str, unit: &str, ours: &Series, theirs: &Series, goal: Option<f64>) {
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |v| format!("{v:.1}"));
    let ratio = ours.p50().zip(theirs.p50()).map(|(ours, theirs)| ours / theirs);
    let judged = match (ratio, goal) {
        (Some(ratio), Some(goal)) if ratio <= goal => format!("<= {goal:.2} met"),
        (Some(_), Some(goal)) => format!("<= {goal:.2} MISSED"),
        (None, Some(goal)) => format!("<= {goal:.2}"),
        (_, None) => String::new(),
    };
    let ratio = ratio.map_or_else(|| "-".to_owned(), |r| format!("{r:.2}"));
    println!("{what:<34} {unit:<4} {:>10} {:>10} {ratio:>6}  {judged}", number(ours.p50()), number(theirs.p50()));
}

/// The head of a table.
pub fn head(title: &str, ours: &str, theirs: &str) {
    println!("\n{title}\n{:<39} {ours:>10} {theirs:>10} {:>6}  goal", "p50", "ratio");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_the_mean_of_the_two_middle_ones() {
        assert_eq!(Series::default().p50(), None);
        assert_eq!(Series(vec![3.0, 1.0, 2.0]).p50(), Some(2.0));
        assert_eq!(Series(vec![4.0, 1.0, 2.0, 3.0]).p50(), Some(2.5));
    }
}
