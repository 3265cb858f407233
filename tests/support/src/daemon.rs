//! One `cofferdam serve` with everything around it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;

use anyhow::{Context as _, Result, bail};
use cofferdam_test_images::Registry;

use crate::cluster::ClusterDir;
use crate::crictl::Crictl;
use crate::host::Host;
use crate::leaks::Snapshot;
use crate::paths;
use crate::run::{Output, output_of};
use crate::wait::eventually;

/// A daemon under test.
#[derive(Debug)]
pub struct Daemon {
    pub(crate) child: Option<Child>,
    pub(crate) registry: Option<Registry>,
    pub(crate) host: Option<Host>,
    pub(crate) dir: PathBuf,
    pub(crate) images: PathBuf,
    pub(crate) cgroup_root: String,
    pub(crate) cluster: ClusterDir,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) shared_mounts: bool,
}

impl Daemon {
    /// The pid of the daemon.
    pub fn pid(&self) -> Result<u32> {
        self.child.as_ref().map(Child::id).context("no daemon runs")
    }

    /// crictl for this daemon.
    pub fn crictl(&self) -> Crictl {
        Crictl::new(&self.netns_path(), &self.socket(), &self.dir)
    }

    /// The CLI: `cofferdam --socket SOCKET ARGS`, inside the host network namespace.
    pub fn cli(&self, args: &[&str]) -> Result<Output> {
        let mut all = vec![format!("--net={}", self.netns_path().display()), paths::cofferdam()?.display().to_string()];
        all.extend(["--socket".to_owned(), self.socket().display().to_string()]);
        all.extend(args.iter().map(|arg| (*arg).to_owned()));
        output_of("nsenter", all)
    }

    /// What is held now, to compare later.
    pub fn snapshot(&self) -> Result<Snapshot> {
        let mut except: Vec<u32> = self.registry.iter().map(Registry::pid).collect();
        except.extend(self.child.iter().map(Child::id));
        Snapshot::take(&self.dir, &self.state(), &self.cgroup_root, self.host(), &except)
    }

    /// Waits until nothing is held that was not in `before`; fails with the list of what is.
    pub fn wait_clean(&self, before: &Snapshot) -> Result<()> {
        eventually("nothing left behind", || {
            let added = self.snapshot()?.added_since(before);
            if added.is_empty() { Ok(true) } else { bail!("left behind:\n  {}", added.join("\n  ")) }
        })
    }

    /// The host's and outside's network namespaces.
    ///
    /// # Panics
    /// Never: a daemon without them is not handed out.
    pub fn host(&self) -> &Host {
        self.host.as_ref().unwrap_or_else(|| unreachable!("made by prepare and by lose_power"))
    }

    /// The cluster directory.
    pub fn cluster(&self) -> &ClusterDir {
        &self.cluster
    }

    /// The test's own directory, for whatever else it needs.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// `--root`.
    pub fn root(&self) -> PathBuf {
        self.dir.join("root")
    }

    /// `--state`.
    pub fn state(&self) -> PathBuf {
        self.dir.join("state")
    }

    /// `--socket`.
    pub fn socket(&self) -> PathBuf {
        self.dir.join("cofferdam.sock")
    }

    /// `--config`.
    pub fn config_file(&self) -> PathBuf {
        self.dir.join("config.toml")
    }

    /// `[kubelet] root_dirs`.
    pub fn kubelet_dir(&self) -> PathBuf {
        self.dir.join("kubelet")
    }

    /// `[cgroup] root`.
    pub fn cgroup_root(&self) -> &str {
        &self.cgroup_root
    }

    /// Ends the registry, as when it is unreachable.
    pub fn stop_registry(&mut self) {
        self.registry = None;
    }

    /// Everything the daemon has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    pub(crate) fn log_file(&self) -> PathBuf {
        self.dir.join("daemon.log")
    }

    pub(crate) fn netns_path(&self) -> PathBuf {
        self.dir.join("netns/host")
    }

    pub(crate) fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }
}
