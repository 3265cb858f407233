//! What a daemon and its pods hold of the machine, to be compared before and after.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::Result;

use crate::host::Host;
use crate::{cgroup, process};

/// Everything held, by kind: processes, mounts, links, routes, nft tables, cgroups, files of the state directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    kinds: BTreeMap<&'static str, BTreeSet<String>>,
}

impl Snapshot {
    pub(crate) fn take(dir: &Path, state: &Path, cgroup_root: &str, host: &Host, except: &[u32]) -> Result<Self> {
        let pids = process::pids_below(dir, cgroup_root, &[host.host.inode(), host.outside.inode()]);
        let processes =
            pids.iter().filter(|pid| !except.contains(pid)).map(|pid| format!("{pid} {}", process::command_line(*pid)));
        let lines = |text: String| text.lines().map(|line| line.trim().to_owned()).collect::<BTreeSet<_>>();
        let mut files = BTreeSet::new();
        list(state, &mut files);
        let mut cgroups = cgroup::directories(cgroup_root)?;
        cgroups.extend(cgroup::directories(&format!("{cgroup_root}-kubelet"))?);
        Ok(Self {
            kinds: BTreeMap::from([
                ("process", processes.collect()),
                ("mount", mounts_below(dir)?.into_iter().collect()),
                ("link", host.host.links()?.into_iter().collect()),
                ("route", routes(host)?),
                ("nft table", lines(host.host.nft(&["list", "tables"])?)),
                ("cgroup", cgroup::directories(cgroup_root)?.iter().map(|dir| dir.display().to_string()).collect()),
                ("state file", files),
            ]),
        })
    }

    /// What is there now and was not in `before`, one line each. The kinds `state file` and `process` can be looked at
    /// by [`Snapshot::of`].
    pub fn added_since(&self, before: &Snapshot) -> Vec<String> {
        let none = BTreeSet::new();
        let added = |kind: &&'static str| {
            let was = before.kinds.get(kind).unwrap_or(&none);
            self.kinds[kind]
                .iter()
                .filter(|item| !was.contains(*item))
                .map(|item| format!("{kind}: {item}"))
                .collect::<Vec<_>>()
        };
        self.kinds.keys().flat_map(added).collect()
    }

    /// One kind: `process`, `mount`, `link`, `route`, `nft table`, `cgroup` or `state file`.
    pub fn of(&self, kind: &str) -> BTreeSet<String> {
        self.kinds.get(kind).cloned().unwrap_or_default()
    }
}

/// Mount points below a directory, deepest last, as this mount namespace has them.
pub(crate) fn mounts_below(dir: &Path) -> Result<Vec<String>> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let marker = format!("{}/", dir.display());
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4)).filter(|point| point.starts_with(&marker));
    Ok(points.map(str::to_owned).collect())
}

/// Routes, without what the kernel adds by itself and without times.
fn routes(host: &Host) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for family in ["-4", "-6"] {
        let text = host.host.ip(&format!("{family} route show table all"))?;
        found.extend(text.lines().filter(|line| !line.contains("proto kernel")).map(|line| {
            let end = line.find(" expires ").unwrap_or(line.len());
            line[..end].trim().to_owned()
        }));
    }
    Ok(found)
}

fn list(dir: &Path, found: &mut BTreeSet<String>) {
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    for entry in entries.flatten() {
        found.insert(entry.path().display().to_string());
        // Not into mounts: a root file system is told by its mount point.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) && same_device(dir, &entry.path()) {
            list(&entry.path(), found);
        }
    }
}

fn same_device(a: &Path, b: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    matches!((fs::metadata(a), fs::metadata(b)), (Ok(a), Ok(b)) if a.dev() == b.dev())
}
