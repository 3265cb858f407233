//! The end of a shim: noticed by its pidfd, and what must follow.

use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use cofferdam_cgroup as cgroup;
use cofferdam_pod_api::{EXITS_FILE, Records, read_slots};
use rustix::process::{WaitId, WaitIdOptions, waitid};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Mutex;

/// A pidfd that can be awaited.
pub(crate) struct PidFd {
    fd: AsyncFd<OwnedFd>,
    /// How it ended, once somebody has seen it; the kernel tells only once.
    status: Mutex<Option<Option<String>>>,
}

impl PidFd {
    // Deprecated for what a careless `AsFd` could do; an `OwnedFd` keeps its descriptor. The replacement is unsafe.
    #[allow(deprecated)]
    pub(crate) fn new(fd: OwnedFd) -> std::io::Result<Self> {
        Ok(PidFd { fd: AsyncFd::with_interest(fd, Interest::READABLE)?, status: Mutex::new(None) })
    }

    /// Waits for the end, reaps a child, and says how it ended where it was one.
    pub(crate) async fn ended(&self) -> Option<String> {
        if let Ok(mut guard) = self.fd.readable().await {
            // It stays readable for ever.
            guard.retain_ready();
        }
        let mut status = self.status.lock().await;
        status.get_or_insert_with(|| reap(self.as_fd())).clone()
    }
}

impl AsFd for PidFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.get_ref().as_fd()
    }
}

fn reap(pidfd: BorrowedFd<'_>) -> Option<String> {
    let status = waitid(WaitId::PidFd(pidfd), WaitIdOptions::EXITED | WaitIdOptions::NOHANG).ok()??;
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Some(format!("exit code {code}")),
        (_, Some(signal)) => Some(format!("killed by signal {signal}")),
        _ => None,
    }
}

/// Kills what a dead shim ran and answers what it recorded. Blocks for as long as that takes.
pub(crate) fn kill_what_it_ran(dir: &Path) -> Records {
    let records = match std::fs::read(dir.join(EXITS_FILE)) {
        Ok(slots) => read_slots(&slots),
        Err(error) if error.kind() == ErrorKind::NotFound => Records::default(),
        Err(error) => {
            tracing::error!(dir = %dir.display(), %error, "what a dead shim recorded cannot be read");
            Records::default()
        }
    };
    for path in &records.cgroups {
        if let Err(error) = cgroup::kill(path) {
            tracing::error!(cgroup = path, %error, "killing the containers of a dead shim");
        }
    }
    records
}
