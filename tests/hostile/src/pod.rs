//! A pod whose tenant is hostile.

use std::path::PathBuf;

use anyhow::Result;
use cofferdam_e2e::{Kind, Running, run, sleeper};
use cofferdam_test_support::{ContainerSpec, Daemon, PodSpec};
use serde_json::{Value, json};

use crate::probe;

/// The pod, and where its volume is on the node.
#[derive(Debug)]
pub struct Hostile {
    /// The pod and its container.
    pub running: Running,
    /// The volume that the container sees at [`crate::MOUNTED`].
    pub volume: PathBuf,
}

impl Hostile {
    /// Tries something: the line that the program prints when it succeeded, or the one with the error.
    pub fn attempt(&self, daemon: &Daemon, words: &[&str]) -> Result<Result<String, String>> {
        let said = daemon.crictl().exec(&self.running.container, &[&[probe::PROBE], words].concat())?;
        let said = said.trim().to_owned();
        Ok(if said.contains("refused: ") { Err(said) } else { Ok(said) })
    }
}

/// Runs a pod with one container that sleeps and has the program; `change` may change the container.
pub fn hostile(daemon: &Daemon, kind: Kind, pod: PodSpec, change: impl FnOnce(&mut Value)) -> Result<Hostile> {
    let pod = pod.handler(kind.handler());
    let volume = probe::volume(daemon, &pod)?;
    let running = run(daemon, pod, &container("main", &volume).with(change))?;
    Ok(Hostile { running, volume })
}

fn container(name: &str, volume: &std::path::Path) -> ContainerSpec {
    sleeper(name).with(|config| config["mounts"] = json!([{"container_path": probe::MOUNTED, "host_path": volume}]))
}
