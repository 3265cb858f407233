//! Pods in namespaces: Cofferdam and containerd in turn, so that whatever else the machine does meets both.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::cri::Client;
use crate::memory::pss;
use crate::pod::Pod;
use crate::table::{Series, head, row};

/// As in real use: back to back, waits in the kernel are hidden.
const PAUSE: Duration = Duration::from_millis(60);

/// Pods before counting begins.
const WARM_UP: usize = 3;

/// A runtime and what was measured of it.
pub struct Runtime {
    client: Client,
    cgroup_root: String,
    dir: PathBuf,
    steps: [Series; 3],
    start: Series,
    exec: Series,
    end: Series,
    daemon: Series,
    helpers: Series,
}

impl Runtime {
    /// Connects and pulls the image.
    pub async fn new(socket: &Path, handler: &str, cgroup_root: &str, dir: &Path) -> Result<Self> {
        let mut client = Client::connect(socket, handler).await?;
        client.pull(&cofferdam_test_support::image("busybox")).await.context("pull the image")?;
        Ok(Self {
            client,
            cgroup_root: cgroup_root.to_owned(),
            dir: dir.to_owned(),
            steps: Default::default(),
            start: Series::default(),
            exec: Series::default(),
            end: Series::default(),
            daemon: Series::default(),
            helpers: Series::default(),
        })
    }

    /// Name and version.
    pub async fn version(&mut self) -> Result<String> {
        self.client.version().await
    }

    async fn pod(&mut self, counts: bool) -> Result<()> {
        let pod = Pod::new(&self.cgroup_root, &self.dir)?;
        tokio::time::sleep(PAUSE).await;
        let started = self.client.start(&pod).await?;
        tokio::time::sleep(PAUSE).await;
        let exec = self.client.exec(&started).await?;
        tokio::time::sleep(PAUSE).await;
        let end = self.client.end(&started).await?;
        if counts {
            for (series, step) in self.steps.iter_mut().zip(started.steps) {
                series.add(step);
            }
            self.start.add(started.steps.iter().sum());
            self.exec.add(exec);
            self.end.add(end);
        }
        Ok(())
    }

    /// PSS of the daemon and of what runs for each pod, with `count` pods. `helpers` finds the latter, for all pods
    /// together.
    async fn memory(&mut self, count: usize, daemon: u32, helpers: Helpers<'_>) -> Result<()> {
        let mut pods = Vec::new();
        let mut shims = Vec::new();
        for _ in 0..count {
            let pod = Pod::new(&self.cgroup_root, &self.dir)?;
            let started = self.client.start(&pod).await?;
            if matches!(helpers, Helpers::Shims) {
                shims.push(self.client.shim_pid(&started).await?);
            }
            pods.push((pod, started));
        }
        if let Helpers::Found(find) = helpers {
            shims = find();
        }
        let total = shims.iter().map(|pid| pss(*pid)).sum::<Result<f64>>()?;
        self.helpers.add(total / count as f64);
        self.daemon.add(pss(daemon)? / 1024.0);
        for (pod, started) in pods {
            self.client.end(&started).await?;
            drop(pod);
        }
        Ok(())
    }
}

/// How the processes that run for pods are found.
#[derive(Clone, Copy)]
pub enum Helpers<'a> {
    /// By the verbose status.
    Shims,
    /// By looking for them.
    Found(&'a dyn Fn() -> Vec<u32>),
}

/// Times of `n` pods on each, in turn.
pub async fn times(runtimes: &mut [&mut Runtime], n: usize) -> Result<()> {
    for turn in 0..WARM_UP + n {
        for runtime in runtimes.iter_mut() {
            runtime.pod(turn >= WARM_UP).await?;
        }
    }
    Ok(())
}

/// Memory with `count` pods on one.
pub async fn memory(runtime: &mut Runtime, count: usize, daemon: u32, helpers: Helpers<'_>) -> Result<()> {
    runtime.memory(count, daemon, helpers).await
}

/// Removes what an error left.
pub async fn clear(runtime: &mut Runtime) -> Result<()> {
    runtime.client.clear().await
}

/// The table; an absent runtime has dashes.
pub fn print(ours: Option<&Runtime>, theirs: Option<&Runtime>, n: usize, pods: usize) {
    let none = Series::default();
    let line = |what: &str, unit: &str, of: fn(&Runtime) -> &Series, goal: Option<f64>| {
        row(what, unit, ours.map_or(&none, of), theirs.map_or(&none, of), goal);
    };
    head(&format!("pods in namespaces, n={n}"), "cofferdam", "containerd");
    line("RunPodSandbox", "ms", |r| &r.steps[0], None);
    line("CreateContainer", "ms", |r| &r.steps[1], None);
    line("StartContainer", "ms", |r| &r.steps[2], None);
    line("start, total", "ms", |r| &r.start, Some(0.35));
    line("stop and remove, total", "ms", |r| &r.end, None);
    line("exec_sync", "ms", |r| &r.exec, None);
    line(&format!("daemon, PSS at {pods} pods"), "MiB", |r| &r.daemon, None);
    line("helpers per pod, PSS", "KiB", |r| &r.helpers, None);
}
