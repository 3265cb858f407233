//! A real kubelet, standalone, on the host of a daemon: static pods only.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use cofferdam_test_images::dies_with_parent;
use rustix::process::Signal;
use serde_json::Value;

use crate::cgroup::Cgroup;
use crate::daemon::Daemon;
use crate::host::UPLINK_V4;
use crate::run::output_of;
use crate::wait::eventually;
use crate::{paths, process};

/// The node's name; a static pod is called `POD-NODE_NAME`.
pub const NODE_NAME: &str = "node";

/// A running kubelet. Dropping it kills it; its pods are the daemon's to clean up, so it has to be dropped first. It
/// removes the sandboxes of pods that are gone once a minute.
#[derive(Debug)]
pub struct Kubelet {
    child: Child,
    cgroup: Cgroup,
    netns: PathBuf,
    dir: PathBuf,
}

impl Kubelet {
    /// Starts kubelet with the configuration at `config` (as shipped) and a drop-in of what this machine and test need,
    /// and waits until it serves its API. Its root directory is `[kubelet] root_dirs` of the daemon.
    pub fn start(daemon: &Daemon, config: &Path) -> Result<Self> {
        let dir = daemon.kubelet_dir();
        for sub in ["manifests", "config.d"] {
            fs::create_dir_all(dir.join(sub))?;
        }
        let cgroup = Cgroup::create(&format!("{}-kubelet", daemon.cgroup_root()))?;
        fs::write(dir.join("config.d/50-test.conf"), drop_in(daemon, &dir, cgroup.path()))?;
        let log = OpenOptions::new().create(true).append(true).open(dir.join("kubelet.log"))?;
        let netns = daemon.host().host.path().to_owned();
        let mut command = dies_with_parent();
        command.arg("nsenter").arg(format!("--net={}", netns.display())).arg(paths::kubelet_path()?);
        for (flag, value) in [
            ("config", config),
            ("config-dir", &dir.join("config.d")),
            ("root-dir", &dir),
            ("cert-dir", &dir.join("pki")),
        ] {
            command.arg(format!("--{flag}")).arg(value);
        }
        command.args(["--hostname-override", NODE_NAME, "--node-ip", UPLINK_V4, "--v=2"]);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut kubelet = Self { child: command.spawn().context("start kubelet")?, cgroup, netns, dir };
        kubelet.wait_ready()?;
        Ok(kubelet)
    }

    /// Writes a static pod's manifest.
    pub fn write_pod(&self, name: &str, yaml: &str) -> Result<()> {
        let part = self.dir.join(format!("{name}.part"));
        fs::write(&part, yaml)?;
        Ok(fs::rename(part, self.manifest(name))?)
    }

    /// Removes it.
    pub fn remove_pod(&self, name: &str) -> Result<()> {
        Ok(fs::remove_file(self.manifest(name))?)
    }

    /// A GET of kubelet's API, such as `/pods`.
    pub fn get(&self, path: &str) -> Result<String> {
        self.curl(&[], path)
    }

    /// The pods as kubelet has them, by their name without the node's.
    pub fn pod(&self, namespace: &str, name: &str) -> Result<Value> {
        let pods: Value = serde_json::from_str(&self.get("/pods")?)?;
        let full = format!("{name}-{NODE_NAME}");
        let found = pods["items"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|pod| pod["metadata"]["namespace"] == namespace && pod["metadata"]["name"] == full.as_str());
        found.cloned().with_context(|| format!("kubelet has no pod {namespace}/{full}"))
    }

    /// The status of one container of a pod: `ready`, `restartCount`, `state`.
    pub fn container_status(&self, namespace: &str, pod: &str, container: &str) -> Result<Value> {
        let pod = self.pod(namespace, pod)?;
        let mut statuses = pod["status"]["containerStatuses"].as_array().into_iter().flatten();
        statuses
            .find(|status| status["name"] == container)
            .cloned()
            .with_context(|| format!("no status of {container}"))
    }

    /// Waits until every container of a pod is ready.
    pub fn wait_pod_ready(&self, namespace: &str, pod: &str) -> Result<()> {
        eventually(&format!("{namespace}/{pod} ready"), || {
            let pod = self.pod(namespace, pod)?;
            let statuses = pod["status"]["containerStatuses"].as_array().context("no container has a status")?;
            let ready = !statuses.is_empty() && statuses.iter().all(|status| status["ready"] == true);
            if ready { Ok(true) } else { bail!("{}", pod["status"]) }
        })
    }

    /// `kubectl logs`.
    pub fn logs(&self, namespace: &str, pod: &str, container: &str) -> Result<String> {
        self.get(&format!("/containerLogs/{namespace}/{pod}-{NODE_NAME}/{container}"))
    }

    /// Runs a command in a container by kubelet's API (ExecSync); both output streams. kubelet splits the command at
    /// blanks.
    pub fn exec(&self, namespace: &str, pod: &str, container: &str, command: &[&str]) -> Result<String> {
        ensure!(command.iter().all(|arg| !arg.contains(' ')), "kubelet's /run cannot carry a blank: {command:?}");
        let data = format!("cmd={}", command.join(" "));
        let path = format!("/run/{namespace}/{pod}-{NODE_NAME}/{container}");
        self.curl(&["--request", "POST", "--get", "--data-urlencode", &data], &path)
    }

    /// SIGTERM, and waits for the end; pods stay.
    pub fn stop(mut self) -> Result<()> {
        process::signal(self.child.id(), Signal::TERM)?;
        let child = &mut self.child;
        eventually("kubelet ended", || Ok(child.try_wait()?.is_some()))
    }

    /// Everything it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.join("kubelet.log")).unwrap_or_default()
    }

    /// The cgroup above all its pods.
    pub fn cgroup(&self) -> &Cgroup {
        &self.cgroup
    }

    fn manifest(&self, name: &str) -> PathBuf {
        self.dir.join(format!("manifests/{name}.yaml"))
    }

    fn curl(&self, options: &[&str], path: &str) -> Result<String> {
        let netns = format!("--net={}", self.netns.display());
        let url = format!("https://127.0.0.1:10250{path}");
        // --globoff: brackets in a command are its own.
        let fixed = [
            netns.as_str(),
            "curl",
            "--silent",
            "--show-error",
            "--insecure",
            "--fail-with-body",
            "--globoff",
            "--max-time",
            "30",
        ];
        output_of("nsenter", fixed.iter().chain(options).chain([&url.as_str()]))?.ok()
    }

    fn wait_ready(&mut self) -> Result<()> {
        let started = eventually("kubelet answers", || {
            if let Some(status) = self.child.try_wait()? {
                return Err(anyhow::anyhow!("kubelet ended: {status}"));
            }
            Ok(self.get("/healthz")? == "ok")
        });
        started.map_err(|error| error.context(tail(&self.log())))
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the last lines of kubelet's log\n{}", tail(&self.log()));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

/// Paths, ports, cgroups, and what takes an API server's place: there is none to ask who may do what.
fn drop_in(daemon: &Daemon, dir: &Path, cgroup: &str) -> String {
    format!(
        "apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix://{socket}
staticPodPath: {dir}/manifests
podLogsDir: {dir}/logs
fileCheckFrequency: 1s
syncFrequency: 5s
port: 10250
address: 127.0.0.1
cgroupDriver: cgroupfs
cgroupRoot: {cgroup}
failCgroupV1: false
failSwapOn: false
authentication: {{anonymous: {{enabled: true}}, webhook: {{enabled: false}}}}
authorization: {{mode: AlwaysAllow}}
",
        socket = daemon.socket().display(),
        dir = dir.display(),
    )
}
