//! Processes that are found again after a restart of the daemon.

use std::io;
use std::os::fd::OwnedFd;

use cofferdam_sandbox::ProcessIdentity;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// The boot id. Read by path, so that a test can mount another one over it.
pub fn boot_id() -> io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// The identity of a live process.
pub fn identify(pid: u32) -> io::Result<ProcessIdentity> {
    Ok(ProcessIdentity { pid, start_time: start_time(pid)?, boot_id: boot_id()? })
}

/// A pidfd of the process, if it still is that one; otherwise why not, for people.
pub fn find(process: &ProcessIdentity) -> Result<OwnedFd, String> {
    let boot = boot_id().map_err(|error| format!("boot id: {error}"))?;
    if boot != process.boot_id {
        return Err("the node was rebooted".into());
    }
    let ended = || format!("process {} has ended", process.pid);
    let pid = i32::try_from(process.pid).ok().and_then(Pid::from_raw).ok_or_else(ended)?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).map_err(|_| ended())?;
    // Only now does the number stay the same process's.
    match start_time(process.pid) {
        Ok(start) if start == process.start_time => Ok(pidfd),
        _ => Err(ended()),
    }
}

/// Field 22 of `/proc/PID/stat`: clock ticks since boot. A zombie counts as ended.
fn start_time(pid: u32) -> io::Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    parse(&stat).ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("process {pid} has ended")))
}

// The name in parentheses may hold anything, so fields are counted from the last parenthesis.
fn parse(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    match fields.next()? {
        "Z" | "X" => None,
        _ => fields.nth(18)?.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 0 0";
        assert_eq!(parse(stat), Some(4711));
        assert_eq!(parse(&stat.replace(") S", ") Z")), None);
    }

    #[test]
    fn a_process_is_found_while_it_lives_and_only_under_its_own_identity() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let identity = identify(child.id()).unwrap();
        find(&identity).unwrap();
        let reused = ProcessIdentity { start_time: identity.start_time + 1, ..identity.clone() };
        assert!(find(&reused).unwrap_err().contains("ended"));
        let rebooted = ProcessIdentity { boot_id: "another".into(), ..identity.clone() };
        assert!(find(&rebooted).unwrap_err().contains("rebooted"));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(find(&identity).is_err());
    }
}
