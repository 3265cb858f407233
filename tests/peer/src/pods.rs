//! Pods and containers of the cases, and what is done with them.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use cofferdam_test_support::{Cgroup, PATIENCE};
use serde_json::{Value, json};

use crate::cri::{Answer, Failure};
use crate::images::PROBE;
use crate::normalise::Known;
use crate::side::Side;

/// A `PodSandboxConfig` as kubelet would write it, in a namespace that may use the host.
pub fn pod(name: &str) -> Value {
    let uid = uid(name);
    json!({
        "metadata": {"name": name, "namespace": "kube-system", "uid": uid, "attempt": 0},
        "hostname": name,
        "labels": {
            "io.kubernetes.pod.name": name, "io.kubernetes.pod.namespace": "kube-system", "io.kubernetes.pod.uid": uid,
        },
        "annotations": {"peer/annotation": "of the pod"},
        "dns_config": {"servers": ["10.0.0.10"], "searches": ["default.svc.cluster.local"], "options": ["ndots:5"]},
        "linux": {
            "security_context": {"namespace_options": {"pid": "CONTAINER"}, "seccomp": {"profile_type": "RuntimeDefault"}},
        },
    })
}

/// A `ContainerConfig` as kubelet would write it, which runs the probe with these arguments.
pub fn container(name: &str, image: &str, args: &[&str]) -> Value {
    json!({
        "metadata": {"name": name, "attempt": 0},
        "image": {"image": image},
        "command": [PROBE],
        "args": args,
        "log_path": format!("{name}.log"),
        "labels": {"io.kubernetes.container.name": name},
        "annotations": {"peer/annotation": "of the container"},
        "linux": {
            "resources": {"cpu_shares": 102, "oom_score_adj": 900},
            "security_context": {
                "namespace_options": {"pid": "CONTAINER"}, "seccomp": {"profile_type": "RuntimeDefault"},
                "masked_paths": MASKED, "readonly_paths": READ_ONLY,
            },
        },
    })
}

/// What kubelet sends for `procMount: Default`.
const MASKED: [&str; 11] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
];
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// The same for the same name, on both sides.
fn uid(name: &str) -> String {
    let sum =
        name.bytes().fold(0x811c_9dc5_u64, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0193) & 0xffff_ffff);
    format!("00000000-0000-4000-8000-0000{sum:08x}")
}

/// The `PodSandboxConfig` with what the runtime's side adds to it.
pub fn config_of(side: &Side, mut pod: Value, cgroup: &Cgroup) -> Result<Value> {
    let name = pod["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    pod["log_directory"] = json!(side.logs(&name)?.display().to_string());
    pod["linux"]["cgroup_parent"] = json!(cgroup.path());
    Ok(pod)
}

/// A pod that runs. [`Running::remove`] ends it.
#[derive(Debug)]
pub struct Running<'a> {
    side: &'a Side,
    /// Its id.
    pub sandbox: String,
    /// Its configuration.
    pub config: Value,
    /// What stands for its names.
    pub known: Known,
    logs: PathBuf,
    cgroup: Cgroup,
}

/// What became of a container's process.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Its last status, as the runtime gives it.
    pub status: Value,
    /// What it wrote.
    pub output: String,
}

impl<'a> Running<'a> {
    /// RunPodSandbox.
    pub async fn start(side: &'a Side, pod: Value) -> Result<Result<Running<'a>, Failure>> {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let cgroup = side.pod_cgroup(&name)?;
        let config = config_of(side, pod, &cgroup)?;
        let request = json!({"config": config, "runtime_handler": side.handler});
        let answer = match side.call("RunPodSandbox", request).await? {
            Ok(answer) => answer,
            Err(failure) => return Ok(Err(failure)),
        };
        let sandbox = text(&answer, "pod_sandbox_id");
        let mut known = side.known();
        known.add(&sandbox, "sandbox");
        let logs = side.logs(&name)?;
        let mut running = Self { side, sandbox, config, known, logs, cgroup };
        let status = running.status().await?;
        let network = &status["status"]["network"];
        known = running.known.clone();
        known.add(network["ip"].as_str().unwrap_or_default(), "pod address");
        running.known = known;
        Ok(Ok(running))
    }

    /// PodSandboxStatus, which has to work.
    pub async fn status(&self) -> Result<Value> {
        let request = json!({"pod_sandbox_id": self.sandbox});
        self.side.call("PodSandboxStatus", request).await?.context("PodSandboxStatus")
    }

    /// The pod's cgroup.
    pub fn cgroup(&self) -> &str {
        self.cgroup.path()
    }

    /// CreateContainer; its id stands for `<container>` from then on.
    pub async fn create(&mut self, container: Value) -> Result<Result<String, Failure>> {
        let request = json!({"pod_sandbox_id": self.sandbox, "config": container, "sandbox_config": self.config});
        Ok(self.side.call("CreateContainer", request).await?.map(|answer| {
            let id = text(&answer, "container_id");
            self.known.add(&id, "container");
            id
        }))
    }

    /// StartContainer.
    pub async fn start_container(&self, id: &str) -> Result<Answer> {
        self.side.call("StartContainer", json!({"container_id": id})).await
    }

    /// Waits for the first whole line of a container's log that is JSON.
    pub async fn says(&self, container: &Value, id: &str) -> Result<Value> {
        let began = Instant::now();
        loop {
            let output = self.log(container);
            if let Some(line) = output.lines().find_map(|line| serde_json::from_str::<Value>(line).ok()) {
                return Ok(line);
            }
            let status = self.container_status(id).await?;
            let ended = status["status"]["state"] == "CONTAINER_EXITED";
            // What it wrote last may be in the log only now.
            let last = self.log(container).lines().any(|line| serde_json::from_str::<Value>(line).is_ok());
            if (ended && !last) || began.elapsed() > PATIENCE {
                bail!("{:?}: the container says nothing: {output:?}\n{status}", self.side.who);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until a container has ended.
    pub async fn ends(&self, container: &Value, id: &str) -> Result<Ended> {
        let began = Instant::now();
        loop {
            let status = self.container_status(id).await?;
            if status["status"]["state"] == "CONTAINER_EXITED" {
                return Ok(Ended { status, output: self.log(container) });
            }
            if began.elapsed() > PATIENCE {
                bail!("{:?}: the container does not end: {status}", self.side.who);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// ContainerStatus, which has to work.
    pub async fn container_status(&self, id: &str) -> Result<Value> {
        let request = json!({"container_id": id});
        self.side.call("ContainerStatus", request).await?.context("ContainerStatus")
    }

    /// What a container wrote, from its log, with partial lines put together.
    pub fn log(&self, container: &Value) -> String {
        let path = self.logs.join(container["log_path"].as_str().unwrap_or_default());
        joined(&std::fs::read_to_string(path).unwrap_or_default())
    }

    /// The first process of a container, as the host numbers it: the only one below the pod's cgroup with this
    /// argument.
    pub fn process(&self, argument: &str) -> Result<u32> {
        let nowhere = self.side.dir.join("nowhere");
        let pids = cofferdam_test_support::pids_below(&nowhere, self.cgroup.path(), &[]);
        let is = |pid: &u32| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.split(|byte| *byte == 0).any(|word| word == argument.as_bytes())
        };
        pids.into_iter().find(is).with_context(|| format!("no process {argument} below {}", self.cgroup.path()))
    }

    /// Stops and removes the pod and all that is in it.
    pub async fn remove(self) -> Result<()> {
        for method in ["StopPodSandbox", "RemovePodSandbox"] {
            self.side
                .call(method, json!({"pod_sandbox_id": self.sandbox}))
                .await?
                .with_context(|| method.to_owned())?;
        }
        Ok(())
    }
}

fn text(answer: &Value, field: &str) -> String {
    answer[field].as_str().unwrap_or_default().to_owned()
}

/// The text of a log in CRI's format: `TIME STREAM P|F TEXT`, where P goes on in the next line.
fn joined(log: &str) -> String {
    let mut whole = String::new();
    for line in log.lines() {
        let mut fields = line.splitn(4, ' ').skip(2);
        let (Some(tag), Some(text)) = (fields.next(), fields.next()) else { continue };
        whole.push_str(text);
        if tag == "F" {
            whole.push('\n');
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partial_lines_are_put_together() {
        let log = "2026-01-01T00:00:00Z stdout P {\"a\":\n2026-01-01T00:00:00Z stdout F 1}\n2026-01-01T00:00:00Z stdout F b c\n";
        assert_eq!(joined(log), "{\"a\":1}\nb c\n");
    }

    #[test]
    fn a_pods_uid_depends_on_its_name_only() {
        assert_eq!(uid("a"), uid("a"));
        assert_ne!(uid("a"), uid("b"));
        assert_eq!(uid("a").len(), 36);
    }
}
