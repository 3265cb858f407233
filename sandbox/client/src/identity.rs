//! Processes that are found again after a restart of the daemon.

use std::io;
use std::os::fd::OwnedFd;

use cofferdam_sandbox::ProcessIdentity;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// The boot id. Read by path, so that a test can mount another one over it.
pub fn boot_id() -> io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// The identity of a process, also of a child that has ended and was not reaped yet.
pub fn identify(pid: u32) -> io::Result<ProcessIdentity> {
    Ok(ProcessIdentity { pid, start_time: stat(pid)?.start_time, boot_id: boot_id()? })
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
    match stat(process.pid) {
        Ok(stat) if stat.start_time == process.start_time && !stat.ended => Ok(pidfd),
        _ => Err(ended()),
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Stat {
    /// A zombie.
    ended: bool,
    /// Field 22 of `/proc/PID/stat`: clock ticks since boot.
    start_time: u64,
}

fn stat(pid: u32) -> io::Result<Stat> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    parse(&stat).ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("process {pid} has ended")))
}

// The name in parentheses may hold anything, so fields are counted from the last parenthesis.
fn parse(stat: &str) -> Option<Stat> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let ended = matches!(fields.next()?, "Z" | "X");
    Some(Stat { ended, start_time: fields.nth(18)?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 0 0";
        assert_eq!(parse(stat), Some(Stat { ended: false, start_time: 4711 }));
        assert!(parse(&stat.replace(") S", ") Z")).unwrap().ended);
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
        while find(&identity).is_ok() {
            std::thread::yield_now();
        }
        assert_eq!(identify(child.id()).unwrap(), identity, "a zombie still is the same process");
        child.wait().unwrap();
        assert!(find(&identity).is_err() && identify(child.id()).is_err());
    }
}
