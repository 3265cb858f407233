//! The end of whatever a VM sandbox may have left.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use cofferdam_pod_client::{cgroup, files, identity};
use cofferdam_sandbox::{FILES_DIR, ProcessIdentity, SandboxError, SandboxRecord, SandboxSpec};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::{boot, share};

/// How long a killed process may take to end.
const END: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

fn failed(what: &str) -> impl Fn(io::Error) -> SandboxError {
    let what = what.to_owned();
    move |error| SandboxError::failed(what.clone(), error)
}

/// Kills the VM's processes, the shim first, so that it starts none any more.
pub(crate) fn kill(spec: &SandboxSpec, record: Option<&SandboxRecord>) -> Result<(), SandboxError> {
    match record {
        Some(record) => kill_process(&record.shim).map_err(failed("end the shim"))?,
        None => kill_unknown_shim(&spec.dir).map_err(failed("end the shim"))?,
    }
    let behind = record.iter().flat_map(|record| [&record.vmm, &record.virtiofsd]).flatten();
    behind.into_iter().try_for_each(|process| kill_process(process).map_err(failed("end the VM")))?;
    boot::cgroups(spec).iter().try_for_each(|path| cgroup::kill(path).map_err(failed("end the VM")))
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

fn kill_process(process: &ProcessIdentity) -> io::Result<()> {
    identity::find(process).map_or(Ok(()), |pidfd| kill_and_wait(&pidfd))
}

fn kill_and_wait(pidfd: &OwnedFd) -> io::Result<()> {
    if pidfd_send_signal(pidfd, Signal::KILL).is_err() {
        return Ok(());
    }
    match poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&END))? {
        0 => Err(io::Error::new(io::ErrorKind::TimedOut, "it does not end")),
        _ => Ok(()),
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
            kill_and_wait(&pidfd)?;
        }
    }
    Ok(())
}
