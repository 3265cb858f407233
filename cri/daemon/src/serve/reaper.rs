//! Reaping what the daemon inherits: as a subreaper it becomes the parent of what a dead shim leaves.
//!
//! Children that it starts itself have somebody who waits for them, and are reaped at once. So a child that is still a
//! zombie after a while is an inherited one. (waitid cannot tell the two apart.)

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, WaitOptions, waitpid};
use tokio::signal::unix::{SignalKind, signal};

/// How long whoever waits for a child of the daemon's own may take.
const GRACE: Duration = Duration::from_secs(5);

/// Reaps for ever.
pub fn start() -> anyhow::Result<()> {
    let mut deaths = signal(SignalKind::child()).context("watch for ended children")?;
    tokio::spawn(async move {
        while deaths.recv().await.is_some() {
            let mut seen = zombies();
            while !seen.is_empty() {
                tokio::time::sleep(GRACE).await;
                let now = zombies();
                for pid in now.intersection(&seen).filter_map(|pid| Pid::from_raw(*pid)) {
                    tracing::debug!(pid = pid.as_raw_nonzero().get(), "reaping an inherited process");
                    let _ = waitpid(Some(pid), WaitOptions::NOHANG);
                }
                seen = now.difference(&seen).copied().collect();
            }
        }
    });
    Ok(())
}

fn zombies() -> BTreeSet<i32> {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    let pids: Vec<i32> = lists.flat_map(|l| l.split(' ').filter_map(|p| p.parse().ok()).collect::<Vec<_>>()).collect();
    pids.into_iter().filter(|pid| is_zombie(*pid)).collect()
}

fn is_zombie(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name before may hold anything.
    stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z'))
}
