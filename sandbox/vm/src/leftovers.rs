//! The end of whatever a VM sandbox may have left.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use cofferdam_pod_client::{cgroup, files, identity};
use cofferdam_sandbox::{FILES_DIR, SandboxError, SandboxRecord, SandboxSpec};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::{boot, share};

/// How long killed processes may take to end.
const END: Duration = Duration::from_secs(10);

fn failed(what: &str) -> impl Fn(io::Error) -> SandboxError {
    let what = what.to_owned();
    move |error| SandboxError::failed(what.clone(), error)
}

/// Kills the VM's processes, the shim first, so that it starts none any more. All of them are killed before one is
/// waited for: a process that does not end (an uninterruptible wait) protects no other.
pub(crate) fn kill(spec: &SandboxSpec, record: Option<&SandboxRecord>) -> Result<(), SandboxError> {
    if record.is_none() {
        kill_unknown_shim(&spec.dir).map_err(failed("end the shim"))?;
    }
    let processes = record.iter().flat_map(|record| {
        let behind = [("end the VMM", &record.vmm), ("end virtiofsd", &record.virtiofsd)];
        let behind = behind.into_iter().filter_map(|(what, process)| Some((what, process.as_ref()?)));
        std::iter::once(("end the shim", &record.shim)).chain(behind)
    });
    let killed: Vec<(&str, OwnedFd)> =
        processes.filter_map(|(what, process)| Some((what, identity::find(process).ok()?))).collect();
    for (_, pidfd) in &killed {
        // One that has ended meanwhile needs no signal.
        let _ = pidfd_send_signal(pidfd, Signal::KILL);
    }
    let deadline = Instant::now() + END;
    let ended: Vec<_> = killed.iter().map(|(what, pidfd)| ends(pidfd, deadline).map_err(failed(what))).collect();
    let in_cgroups: Vec<_> =
        boot::cgroups(spec).iter().map(|path| cgroup::kill(path).map_err(failed("end the VM"))).collect();
    ended.into_iter().chain(in_cgroups).collect()
}

/// Removes all that is not a process: cgroups, mounts, the pod's directory.
pub(crate) fn remove(spec: &SandboxSpec) -> Result<(), SandboxError> {
    unmount(spec)?;
    cofferdam_tree::remove(&spec.dir).map_err(failed("remove the pod's directory"))
}

/// Removes cgroups and mounts. The directory, with the records of exits in it, stays.
pub(crate) fn unmount(spec: &SandboxSpec) -> Result<(), SandboxError> {
    boot::cgroups(spec).iter().try_for_each(|path| cgroup::remove(path).map_err(failed("remove the VM's cgroups")))?;
    // A pod's cgroup is kubelet's, unless it is named by us.
    if Path::new(&spec.cgroup).file_name().is_some_and(|name| name == spec.id.as_str()) {
        cgroup::remove(&spec.cgroup).map_err(failed("remove the pod's cgroup"))?;
    }
    files::release(&spec.dir.join(FILES_DIR)).map_err(failed("unmount the pod's files"))?;
    share::remove(&boot::share(spec))
}

/// Waits for the end of a process that was killed.
fn ends(pidfd: &OwnedFd, deadline: Instant) -> io::Result<()> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
        match poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&left)) {
            Ok(0) => return Err(io::Error::new(io::ErrorKind::TimedOut, "it was killed and does not end")),
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

// A shim whose start was cut off before its identity was stored: its error output is the log in the pod's directory.
fn kill_unknown_shim(dir: &Path) -> io::Result<()> {
    let log = dir.join("shim.log");
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw) else {
            continue;
        };
        let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) else { continue };
        if std::fs::read_link(entry.path().join("fd/2")).is_ok_and(|target| target == log) {
            let _ = pidfd_send_signal(&pidfd, Signal::KILL);
            ends(&pidfd, Instant::now() + END)?;
        }
    }
    Ok(())
}
