//! Makes a pod's cgroup and removes what was made.
//!
//! What will be made is written down first, in the pod's directory: after a crash nobody could tell it from what
//! kubelet has made.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cofferdam_pod_client::cgroup;
use cofferdam_sandbox::{SandboxError, SandboxSpec};

use crate::plan;

/// Name of the list in the pod's directory.
const LIST: &str = "cgroups";

/// How long a cgroup whose last process was just reaped may stay busy.
const BUSY: Duration = Duration::from_secs(1);

/// Makes the pod's cgroup where it is missing.
pub(crate) fn make(spec: &SandboxSpec) -> Result<(), SandboxError> {
    let failed = |error: io::Error| SandboxError::failed(format!("make the cgroup {}", spec.cgroup), error);
    let hierarchies = cgroup::pod_hierarchies().map_err(failed)?;
    // A shared parent may be removed by the end of another pod between two looks.
    let mut tries = 3;
    loop {
        let plan = plan::cgroups(spec, &hierarchies, Path::exists);
        remember(&spec.dir, &plan.remove).map_err(failed)?;
        match plan.make.iter().try_for_each(|dir| make_one(dir)) {
            Err(error) if error.kind() == ErrorKind::NotFound && tries > 0 => tries -= 1,
            other => return other.map_err(failed),
        }
    }
}

fn make_one(dir: &Path) -> io::Result<()> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", dir.display()));
    match fs::create_dir(dir) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(named(error)),
        _ => {}
    }
    // A v1 cpuset takes no process before it has CPUs and memory nodes.
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let own = dir.join(file);
        let v1 = !dir.join("cgroup.controllers").exists();
        if v1 && fs::read_to_string(&own).is_ok_and(|value| value.trim().is_empty()) {
            let parent = dir.parent().unwrap_or(dir).join(file);
            fs::read_to_string(parent).and_then(|value| fs::write(&own, value.trim())).map_err(named)?;
        }
    }
    Ok(())
}

// Appended: what an earlier look has made stays ours.
fn remember(pod: &Path, dirs: &[PathBuf]) -> io::Result<()> {
    let mut text = fs::read_to_string(pod.join(LIST)).or_else(missing)?;
    dirs.iter().for_each(|dir| text += &format!("{}\n", dir.display()));
    fs::write(pod.join(LIST), text)
}

fn missing(error: io::Error) -> io::Result<String> {
    if error.kind() == ErrorKind::NotFound { Ok(String::new()) } else { Err(error) }
}

/// Removes what `make` has made, as far as nobody else uses it.
pub(crate) fn remove(spec: &SandboxSpec) -> Result<(), SandboxError> {
    let failed = |error: io::Error| SandboxError::failed(format!("remove the cgroup {}", spec.cgroup), error);
    let text = fs::read_to_string(spec.dir.join(LIST)).or_else(missing).map_err(failed)?;
    for line in text.lines() {
        let dir = Path::new(line);
        let own = dir.file_name().is_some_and(|name| name == spec.id.as_str());
        match remove_one(dir, own) {
            // Another attempt of the pod, or another pod below the same parent.
            Err(error) if error.kind() == ErrorKind::ResourceBusy && !own => {}
            Err(error) => return Err(failed(io::Error::new(error.kind(), format!("{line}: {error}")))),
            Ok(()) => {}
        }
    }
    Ok(())
}

fn remove_one(dir: &Path, own: bool) -> io::Result<()> {
    let deadline = Instant::now() + BUSY;
    loop {
        match fs::remove_dir(dir) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) if own && error.kind() == ErrorKind::ResourceBusy && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(1));
            }
            other => return other,
        }
    }
}

/// Forgets what was made: it is gone.
pub(crate) fn forget(spec: &SandboxSpec) -> io::Result<()> {
    match fs::remove_file(spec.dir.join(LIST)) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
