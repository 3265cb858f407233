//! Pods that the tests have in common.

use anyhow::Result;
use cofferdam_test_support::{ContainerSpec, Daemon, DaemonBuilder, PodSpec, image};
use serde_json::Value;

/// A kind of sandbox, as a runtime handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `namespace`.
    Namespace,
    /// `vm`.
    Vm,
}

impl Kind {
    /// The handler.
    pub fn handler(self) -> &'static str {
        match self {
            Kind::Namespace => "namespace",
            Kind::Vm => "vm",
        }
    }
}

/// A builder whose daemon can make this kind of sandbox.
pub fn daemon(name: &str, kind: Kind) -> Result<DaemonBuilder> {
    let builder = Daemon::builder(&format!("{name}-{}", kind.handler()));
    if kind == Kind::Vm { builder.with_vm() } else { Ok(builder) }
}

/// A pod with one container.
#[derive(Clone, Debug)]
pub struct Running {
    /// What was asked for.
    pub spec: PodSpec,
    /// The sandbox.
    pub sandbox: String,
    /// The container.
    pub container: String,
}

impl Running {
    /// First address of the pod.
    pub fn ip(&self, daemon: &Daemon) -> Result<String> {
        daemon.crictl().pod_ip(&self.sandbox)
    }

    /// What the verbose status tells beside CRI (key `cofferdam` of `crictl inspectp`).
    pub fn facts(&self, daemon: &Daemon) -> Result<Value> {
        Ok(daemon.crictl().inspect_pod(&self.sandbox)?["cofferdam"].clone())
    }

    /// One of the pids of the facts, which has to be there.
    pub fn pid(&self, daemon: &Daemon, key: &str) -> Result<u32> {
        let facts = self.facts(daemon)?;
        let pid = facts[key].as_u64().and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid != 0);
        pid.ok_or_else(|| anyhow::anyhow!("no {key} in {facts}"))
    }
}

/// Pulls the image, makes the pod and runs the container.
pub fn run(daemon: &Daemon, pod: PodSpec, container: &ContainerSpec) -> Result<Running> {
    let crictl = daemon.crictl();
    crictl.pull(&image("busybox"))?;
    crictl.pull(&image("web"))?;
    let sandbox = crictl.run_pod(&pod)?;
    let container = crictl.run_container(&sandbox, container, &pod)?;
    Ok(Running { spec: pod, sandbox, container })
}

/// A container that does nothing, and ends at once when it is told to.
pub fn sleeper(name: &str) -> ContainerSpec {
    ContainerSpec::new(name, &image("busybox")).shell("trap 'exit 0' TERM; while :; do sleep 1000 & wait; done")
}

/// A web server on ports 80 and 8080.
pub fn web(name: &str) -> ContainerSpec {
    ContainerSpec::new(name, &image("web"))
}
