//! Looking at processes and signalling them, by pid only.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

use crate::wait::eventually;

/// Sends a signal. A process that is gone is no error.
pub fn signal(pid: u32, signal: Signal) -> Result<()> {
    let raw = i32::try_from(pid).ok().and_then(Pid::from_raw).context("pid out of range")?;
    match kill_process(raw, signal) {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("signal {pid}")),
    }
}

/// Whether a process runs. A zombie does not.
pub fn process_exists(pid: u32) -> bool {
    state(pid).is_some_and(|(state, _)| state != 'Z')
}

/// Waits until a process is gone or a zombie.
pub fn wait_gone(pid: u32) -> Result<()> {
    eventually(&format!("process {pid} gone"), || Ok(!process_exists(pid)))
}

/// State letter and parent of a process.
pub(crate) fn state(pid: u32) -> Option<(char, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

/// The arguments of a process, joined by blanks.
pub(crate) fn command_line(pid: u32) -> String {
    let raw = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&raw).replace('\0', " ").trim_end().to_owned()
}

/// Every process that belongs to a test: its cgroup is `cgroup_root` or below, or that with a suffix `-...`; its
/// command line names `dir`, or its network namespace is one of `netns` (inode numbers). Zombies that wait for PID 1,
/// and this process, are left out.
pub fn pids_below(dir: &Path, cgroup_root: &str, netns: &[u64]) -> BTreeSet<u32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return BTreeSet::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| *pid != std::process::id() && belongs(*pid, dir, cgroup_root, netns))
        .collect()
}

fn belongs(pid: u32, dir: &Path, cgroup_root: &str, netns: &[u64]) -> bool {
    let Some((state, parent)) = state(pid) else {
        return false;
    };
    if state == 'Z' && parent == 1 {
        return false;
    }
    let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let in_cgroup = cgroups.lines().any(|line| {
        let path = line.splitn(3, ':').nth(2).unwrap_or_default();
        path.strip_prefix(cgroup_root).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '-']))
    });
    let marker = format!("{}/", dir.display());
    let namespace = fs::read_link(format!("/proc/{pid}/ns/net")).unwrap_or_default();
    let inside = netns.iter().any(|inode| namespace.as_os_str() == format!("net:[{inode}]").as_str());
    in_cgroup || inside || command_line(pid).contains(&marker)
}
