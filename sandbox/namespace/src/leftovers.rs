//! Ends what a sandbox runs and removes what it has. Every step is a success if there is nothing.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cofferdam_pod_api::{EXITS_FILE, Records, read_slots};
use cofferdam_pod_client::{cgroup, identity};
use cofferdam_sandbox::{FILES_DIR, ProcessIdentity, SandboxError, SandboxSpec};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::{cgroups, plan};

/// How long a killed shim may take to be gone.
const KILLED: Duration = Duration::from_secs(5);

/// Kills the processes of the sandbox, removes their cgroups and mounts. The shim must be gone. Exit records stay.
pub(crate) fn end(spec: &SandboxSpec) -> Result<(), SandboxError> {
    let paths = own_cgroups(spec)?;
    let failed = |what: &str, path: &str, error: io::Error| SandboxError::failed(format!("{what} {path}"), error);
    // All of them are killed, also when a process in one does not end (an uninterruptible wait).
    let kill = |path: &String| cgroup::kill(path).map_err(|error| failed("kill the processes of", path, error));
    let killed: Vec<_> = paths.iter().map(kill).collect();
    killed.into_iter().collect::<Result<(), _>>()?;
    for path in &paths {
        cgroup::remove(path).map_err(|error| failed("remove the cgroup", path, error))?;
    }
    unmount_all(&spec.dir)?;
    cgroups::remove(spec)
}

// Never the whole of a cgroup that kubelet gave: the next attempt of the pod lives in it too.
fn own_cgroups(spec: &SandboxSpec) -> Result<Vec<String>, SandboxError> {
    let path = spec.dir.join(EXITS_FILE);
    let records = match fs::read(&path) {
        Ok(slots) => read_slots(&slots),
        Err(error) if error.kind() == ErrorKind::NotFound => Records::default(),
        // Without it nobody knows what runs on.
        Err(error) => return Err(SandboxError::failed(format!("read {}", path.display()), error)),
    };
    let mut all: Vec<String> = records.cgroups.into_iter().filter(|path| !path.is_empty()).collect();
    all.push(plan::init_cgroup(spec));
    if plan::owns_cgroup(spec) {
        all.push(spec.cgroup.clone());
    }
    Ok(all)
}

fn unmount_all(dir: &Path) -> Result<(), SandboxError> {
    let Ok(dir) = dir.canonicalize() else { return Ok(()) };
    let failed = |what: &Path, error: io::Error| SandboxError::failed(format!("unmount {}", what.display()), error);
    let mountinfo = fs::read_to_string("/proc/self/mountinfo").map_err(|error| failed(&dir, error))?;
    for point in plan::mounts_below(&mountinfo, &dir) {
        match unmount(&point, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            // A mount on one that went before.
            Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => {}
            Err(error) => return Err(failed(&point, error.into())),
        }
    }
    Ok(())
}

/// Removes what only matters while the sandbox is known, exit records included. What else is in the pod's directory is
/// its owner's business.
pub(crate) fn forget(spec: &SandboxSpec) -> Result<(), SandboxError> {
    let failed = |error: io::Error| SandboxError::failed(format!("clear {}", spec.dir.display()), error);
    for name in ["netns", "shim.sock", EXITS_FILE] {
        match fs::remove_file(spec.dir.join(name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
    }
    for name in ["shm", FILES_DIR] {
        match fs::remove_dir(spec.dir.join(name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
    }
    cgroups::forget(spec).map_err(failed)
}

/// Kills the shim. Without a record every process is looked at: a daemon that died right after a start has left none.
pub(crate) fn kill_shim(spec: &SandboxSpec, record: Option<&ProcessIdentity>) -> Result<(), SandboxError> {
    match record {
        Some(process) => match identity::find(process) {
            Ok(pidfd) => end_process(spec, &pidfd),
            Err(_) => Ok(()),
        },
        None => shims_of(&spec.dir).into_iter().try_for_each(|pid| {
            let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) else { return Ok(()) };
            // Only with the pidfd in hand the number stays the same process's.
            if logs_to(pid, &log_of(&spec.dir)) { end_process(spec, &pidfd) } else { Ok(()) }
        }),
    }
}

fn end_process(spec: &SandboxSpec, pidfd: &std::os::fd::OwnedFd) -> Result<(), SandboxError> {
    let failed = |reason: String| SandboxError::failed(format!("kill the shim of pod {}", spec.id), reason);
    match pidfd_send_signal(pidfd, Signal::KILL) {
        Ok(()) => {}
        Err(rustix::io::Errno::SRCH) => return Ok(()),
        Err(error) => return Err(failed(error.to_string())),
    }
    let deadline = Instant::now() + KILLED;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
        match poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&left)) {
            Ok(0) => return Err(failed("it does not end".into())),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(failed(error.to_string())),
            Ok(_) => return Ok(()),
        }
    }
}

fn log_of(dir: &Path) -> PathBuf {
    dir.canonicalize().unwrap_or_else(|_| dir.to_owned()).join("shim.log")
}

/// Shims (and what they are just forking) have their pod's log as standard error.
fn shims_of(dir: &Path) -> Vec<Pid> {
    let log = log_of(dir);
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok().and_then(Pid::from_raw));
    pids.filter(|pid| logs_to(*pid, &log)).collect()
}

fn logs_to(pid: Pid, log: &Path) -> bool {
    fs::read_link(format!("/proc/{}/fd/2", pid.as_raw_nonzero())).is_ok_and(|target| target == log)
}
