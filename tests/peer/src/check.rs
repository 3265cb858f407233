//! Runs a family of cases on both runtimes and holds what differs against its list.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Map, Value};

use crate::compare::differences;
use crate::listed::Listed;
use crate::pair::Pair;
use crate::registry::Store;
use crate::side::Side;
use crate::table::{as_line, summary};

/// More than a busy machine needs; what takes longer hangs.
const LIMIT: Duration = Duration::from_secs(480);

/// Cases of one subject.
#[derive(Debug)]
pub struct Family<'a> {
    /// Its name, which goes into names of directories.
    pub name: &'a str,
    /// The text of its list.
    pub list: &'a str,
}

/// What all cases of a family saw on one side, by the name of the case.
pub type Seen = Map<String, Value>;

/// Runs a family: `cases` is called once for each side, at the same time. Fails when the differences are not the listed
/// ones. With `COFFERDAM_PEER_CASE` set, cases choose by it ([`wanted`]), and lines that nothing fits are no fault.
pub fn run_family(
    family: &Family<'_>,
    store: Store,
    cases: impl AsyncFn(&Side, &mut Seen) -> Result<()>,
) -> Result<()> {
    let listed = Listed::parse(family.list).with_context(|| format!("the list of {}", family.name))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (ours, theirs) = runtime.block_on(async {
        let pair = Pair::start(family.name, store).await?;
        let (mut ours, mut theirs) = (Seen::new(), Seen::new());
        let both = async { tokio::try_join!(cases(&pair.ours, &mut ours), cases(&pair.theirs, &mut theirs)) };
        tokio::time::timeout(LIMIT, both).await.context("the cases did not end")??;
        anyhow::Ok((Value::Object(ours), Value::Object(theirs)))
    })?;
    if let Some(dir) = std::env::var_os("COFFERDAM_PEER_SAVE").map(std::path::PathBuf::from) {
        std::fs::create_dir_all(&dir)?;
        for (side, seen) in [("ours", &ours), ("theirs", &theirs)] {
            std::fs::write(dir.join(format!("{}-{side}.json", family.name)), serde_json::to_vec_pretty(seen)?)?;
        }
    }
    let judged = listed.judge(&differences(&ours, &theirs));
    println!("{}", summary(family.name, &judged, &listed));
    let mut wrong = String::new();
    for difference in &judged.unlisted {
        writeln!(wrong, "{}", as_line(difference))?;
    }
    let partly = std::env::var_os("COFFERDAM_PEER_CASE").is_some();
    for line in judged.gone.iter().filter(|_| !partly) {
        writeln!(wrong, "line {} fits no difference any more: {}", line.number, line.patterns.join(" | "))?;
    }
    ensure!(wrong.is_empty(), "the list of {} is not what was seen:\n{wrong}", family.name);
    Ok(())
}

/// Whether a case is to run.
pub fn wanted(case: &str) -> bool {
    std::env::var("COFFERDAM_PEER_CASE").map_or(true, |wanted| case.contains(&wanted))
}
