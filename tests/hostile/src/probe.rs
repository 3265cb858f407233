//! The program of the attempts, in a volume of a pod.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use cofferdam_test_support::{Daemon, PodSpec};

/// Where a container finds the volume, which it may write.
pub const MOUNTED: &str = "/hostile";
/// Where a container finds the program.
pub const PROBE: &str = "/hostile/probe";

/// Builds the program into an emptyDir of the pod, as kubelet would lay it out; the directory.
pub(crate) fn volume(daemon: &Daemon, pod: &PodSpec) -> Result<PathBuf> {
    let volume = daemon.kubelet_dir().join("pods").join(pod.uid()).join("volumes/kubernetes.io~empty-dir/hostile");
    fs::create_dir_all(&volume)?;
    compile(&volume.join("probe"))?;
    Ok(volume)
}

fn compile(to: &Path) -> Result<()> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("probe/probe.c");
    let status = Command::new("gcc").args(["-static", "-O1", "-s", "-o"]).arg(to).arg(&source).status();
    let status = status.context("run gcc (tests/setup/apt.sh build installs it)")?;
    ensure!(status.success(), "gcc {}: {status}", source.display());
    Ok(())
}
