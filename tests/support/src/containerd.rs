//! containerd and runc, in a network namespace, with root, state, socket and configuration of their own.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use anyhow::{Context as _, Result, bail};
use cofferdam_test_images::{Registry, dies_with_parent, storage};
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::Signal;

use crate::cgroup::Cgroup;
use crate::host::Host;
use crate::paths;
use crate::pod::image;
use crate::process::{pids_below, signal};
use crate::wait::eventually;

/// A running containerd. Dropping it ends all its processes and removes what they left.
#[derive(Debug)]
pub struct Containerd {
    child: Option<Child>,
    registry: Option<Registry>,
    host: Option<Host>,
    dir: PathBuf,
    cgroup: Cgroup,
}

impl Containerd {
    /// Starts Debian's and waits for its socket. `name` goes into directory and cgroup names.
    pub fn debian(name: &str) -> Result<Self> {
        Self::start(name, &PathBuf::from("containerd"), &[])
    }

    /// Starts the version that `tests/setup/versions.env` names, with its shim and runc of the version named there.
    pub fn pinned(name: &str) -> Result<Self> {
        let (containerd, runc) = (paths::containerd_path()?, paths::runc_path()?);
        let dirs: Vec<PathBuf> =
            [&containerd, &runc].into_iter().filter_map(|path| Some(path.parent()?.into())).collect();
        Self::start(name, &containerd, &dirs)
    }

    /// `dirs` come first in its `PATH`: containerd looks for its shim and the shim for runc there.
    fn start(name: &str, program: &Path, dirs: &[PathBuf]) -> Result<Self> {
        let id = format!("{name}-containerd-{}", std::process::id());
        let dir = std::env::temp_dir().join(format!("cofferdam-{id}"));
        for sub in ["netns", "cni", "certs.d/127.0.0.1:5000"] {
            fs::create_dir_all(dir.join(sub))?;
        }
        let cgroup = Cgroup::create(&format!("/cofferdam-{id}"))?;
        let mut new = Self { child: None, registry: None, host: None, dir, cgroup };
        let dir = new.dir.clone();
        fs::write(dir.join("config.toml"), config(&dir))?;
        fs::write(dir.join("cni/10-bridge.conflist"), network(&dir))?;
        fs::write(dir.join("certs.d/127.0.0.1:5000/hosts.toml"), HOSTS)?;
        let host = new.host.insert(Host::create(&dir.join("netns"))?).host.path().to_owned();
        new.registry = Some(Registry::start(Some(&host), &storage()?)?);
        let log = File::create(dir.join("containerd.log"))?;
        let mut command = dies_with_parent();
        command.arg("nsenter").arg(format!("--net={}", host.display())).arg(program).arg("--config");
        command.arg(dir.join("config.toml")).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let all: Vec<PathBuf> = dirs.iter().cloned().chain(std::env::split_paths(&path)).collect();
        command.env("PATH", std::env::join_paths(all)?);
        new.child = Some(command.spawn().context("start containerd")?);
        new.wait_ready()?;
        Ok(new)
    }

    /// Where it listens.
    pub fn socket(&self) -> PathBuf {
        self.dir.join("containerd.sock")
    }

    /// Its own directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The host's network namespace and outside's.
    ///
    /// # Panics
    /// Never: one without them is not handed out.
    pub fn host(&self) -> &Host {
        self.host.as_ref().unwrap_or_else(|| unreachable!("made when it starts"))
    }

    /// Pods' cgroups live below it.
    pub fn cgroup_root(&self) -> &str {
        self.cgroup.path()
    }

    /// The daemon.
    pub fn pid(&self) -> Result<u32> {
        self.child.as_ref().map(Child::id).context("no containerd runs")
    }

    /// What runs for pods beside their containers: shims and pause.
    pub fn helpers(&self) -> Vec<u32> {
        let is_helper = |pid: &u32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line);
            line.contains("containerd-shim") || line.contains("2147483647")
        };
        self.pids().into_iter().filter(is_helper).collect()
    }

    fn pids(&self) -> Vec<u32> {
        let netns: Vec<u64> = self.host.iter().map(|host| host.host.inode()).collect();
        pids_below(&self.dir, self.cgroup.path(), &netns).into_iter().collect()
    }

    fn wait_ready(&mut self) -> Result<()> {
        let socket = self.socket();
        eventually("containerd listens", || {
            if let Some(status) = self.child.as_mut().map(Child::try_wait).transpose()?.flatten() {
                bail!("containerd ended: {status}\n{}", fs::read_to_string(self.dir.join("containerd.log"))?);
            }
            Ok(std::os::unix::net::UnixStream::connect(&socket).is_ok())
        })
    }

    fn clean(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        self.registry = None;
        eventually("containerd's processes ended", || {
            let pids = self.pids();
            for pid in &pids {
                signal(*pid, Signal::KILL)?;
            }
            Ok(pids.is_empty())
        })?;
        self.host = None;
        let marker = format!("{}/", self.dir.display());
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        for point in mounts.lines().rev().filter_map(|line| line.split(' ').nth(4)).filter(|p| p.starts_with(&marker)) {
            let _ = unmount(point, UnmountFlags::DETACH);
        }
        fs::remove_dir_all(&self.dir)?;
        // Fixed places of the shim, runc and libcni; only what is empty goes.
        for dir in ["/run/containerd/s", "/run/containerd/runc/k8s.io", "/run/containerd/runc", "/run/containerd"] {
            let _ = fs::remove_dir(dir);
        }
        for dir in ["/var/lib/cni/results", "/var/lib/cni/cache", "/var/lib/cni"] {
            let _ = fs::remove_dir(dir);
        }
        Ok(())
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        if let Err(error) = self.clean() {
            eprintln!("clean-up of {}: {error:#}", self.dir.display());
        }
    }
}

const HOSTS: &str =
    "server = \"http://127.0.0.1:5000\"\n\n[host.\"http://127.0.0.1:5000\"]\ncapabilities = [\"pull\", \"resolve\"]\n";

/// What kubeadm and Debian users have, but for the places, AppArmor (not in this kernel) and hugetlb (not in every
/// hierarchy).
fn config(dir: &Path) -> String {
    format!(
        r#"version = 2
root = "{dir}/root"
state = "{dir}/state"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.opt"]
[grpc]
  address = "{dir}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  disable_apparmor = true
  restrict_oom_score_adj = true
  disable_hugetlb_controller = true
  tolerate_missing_hugetlb_controller = true
  netns_mounts_under_state_dir = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{dir}/cni"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "{dir}/certs.d"
[plugins."io.containerd.nri.v1.nri"]
  disable = true
"#,
        dir = dir.display(),
        pause = image("pause"),
    )
}

fn network(dir: &Path) -> String {
    let ipam = serde_json::json!({
        "type": "host-local", "dataDir": dir.join("ipam"),
        "ranges": [[{"subnet": "10.89.0.0/16"}]], "routes": [{"dst": "0.0.0.0/0"}],
    });
    let bridge =
        serde_json::json!({"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true, "ipam": ipam});
    let portmap = serde_json::json!({"type": "portmap", "capabilities": {"portMappings": true}});
    serde_json::json!({"cniVersion": "0.4.0", "name": "bridge", "plugins": [bridge, portmap]}).to_string()
}
