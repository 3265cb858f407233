//! The virtio-serial ports, found by the names that the VMM gave them.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::socket::{AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};

use crate::error::BootError;

const CLASS: &str = "/sys/class/virtio-ports";
/// The host tells the names right after the driver is there; under emulation on a busy machine that may take a while.
const PATIENCE: Duration = Duration::from_secs(10);

/// The kernel's events of devices: a port gets its name some time after it appears.
pub(crate) struct Events(OwnedFd);

impl Events {
    /// Listens from now on; before the driver is loaded, so that nothing is missed.
    pub(crate) fn open() -> Result<Self, BootError> {
        let open = || -> io::Result<OwnedFd> {
            let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
            let fd = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkKObjectUEvent)?;
            bind(fd.as_raw_fd(), &NetlinkAddr::new(0, 1))?;
            Ok(fd)
        };
        open().map(Events).map_err(BootError::at("listen to the kernel's device events"))
    }

    /// Waits for the next ones. `false`: none came in time.
    fn wait(&self, until: Instant) -> io::Result<bool> {
        let left = until.saturating_duration_since(Instant::now());
        let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
        let ready = match poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&left)) {
            Err(rustix::io::Errno::INTR) => return Ok(true),
            other => other?,
        };
        // What they say does not matter, nor that some were lost: the class is read again.
        let mut buffer = [0; 4096];
        while recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::empty()).is_ok() {}
        Ok(ready > 0)
    }
}

/// Opens ports by name, once the host has told the names.
pub(crate) fn open<const N: usize>(events: &Events, names: [&str; N]) -> Result<[OwnedFd; N], BootError> {
    let until = Instant::now() + PATIENCE;
    loop {
        let found = names.map(|name| find(Path::new(CLASS), name));
        if found.iter().all(Option::is_some) {
            return open_found(names, found).map_err(BootError::at("open the virtio-serial ports"));
        }
        if !events.wait(until).map_err(BootError::at("wait for the virtio-serial ports"))? {
            let missing: Vec<&str> = names.iter().zip(&found).filter(|(_, p)| p.is_none()).map(|(n, _)| *n).collect();
            let reason = io::Error::other(format!("{} did not appear in {CLASS}", missing.join(", ")));
            return Err(BootError::at("find the virtio-serial ports")(reason));
        }
    }
}

fn open_found<const N: usize>(names: [&str; N], found: [Option<PathBuf>; N]) -> io::Result<[OwnedFd; N]> {
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut ports = Vec::with_capacity(N);
    for (name, path) in names.iter().zip(found.iter().flatten()) {
        let port = rustix::fs::open(path, flags, Mode::empty());
        ports.push(port.map_err(|e| io::Error::other(format!("{name} ({}): {e}", path.display())))?);
    }
    ports.try_into().map_err(|_| io::Error::other("a port is missing"))
}

/// The device of the port of this name.
fn find(class: &Path, name: &str) -> Option<PathBuf> {
    fs::read_dir(class).ok()?.flatten().find_map(|entry| {
        let told = fs::read_to_string(entry.path().join("name")).ok()?;
        (told.trim_end_matches('\n') == name).then(|| Path::new("/dev").join(entry.file_name()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_found_by_its_whole_name_and_one_without_a_name_is_passed_over() {
        let class = tempfile::tempdir().unwrap();
        for (port, name) in
            [("vport0p1", None), ("vport0p2", Some("cofferdam.data2\n")), ("vport0p3", Some("cofferdam.data\n"))]
        {
            fs::create_dir(class.path().join(port)).unwrap();
            if let Some(name) = name {
                fs::write(class.path().join(port).join("name"), name).unwrap();
            }
        }
        assert_eq!(find(class.path(), "cofferdam.data"), Some(PathBuf::from("/dev/vport0p3")));
        assert_eq!(find(class.path(), "cofferdam.control"), None);
    }
}
