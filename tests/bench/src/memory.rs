//! Memory of processes, by their proportional share of what they map.

use anyhow::{Context as _, Result};

/// PSS of a process in KiB.
pub fn pss(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).with_context(|| format!("{path} has no Pss"))?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
