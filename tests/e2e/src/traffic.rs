//! Who reaches whom.

use anyhow::{Result, bail};
use cofferdam_test_support::Daemon;

use crate::Running;

/// What came of one try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// An answer came.
    Yes,
    /// Nothing came, as when packets are dropped.
    No,
}

/// Asks for a page from inside a pod, for at most two seconds. (busybox's own `wget -T` crashes when the time is over.)
pub fn reach(daemon: &Daemon, from: &Running, to: &str, port: u16) -> Result<Reach> {
    let host = if to.contains(':') { format!("[{to}]") } else { to.to_owned() };
    let url = format!("http://{host}:{port}/");
    let output = daemon.crictl().try_exec(&from.container, &["timeout", "2", "wget", "-q", "-O", "-", &url])?;
    // crictl tells the exit code in its message only; anything but SIGTERM by `timeout` is no verdict.
    match output.code {
        0 => Ok(Reach::Yes),
        _ if output.stderr.contains("exited with 143") => Ok(Reach::No),
        code => bail!("wget {url} in {}: exit {code}: {}{}", from.container, output.stdout, output.stderr),
    }
}

/// Every pair that gets through, as `from -> to`, in order.
pub fn matrix(daemon: &Daemon, pods: &[(&str, &Running)], port: u16) -> Result<Vec<String>> {
    let mut open = Vec::new();
    for (from, source) in pods {
        for (to, destination) in pods.iter().filter(|(to, _)| to != from) {
            if reach(daemon, source, &destination.ip(daemon)?, port)? == Reach::Yes {
                open.push(format!("{from} -> {to}"));
            }
        }
    }
    Ok(open)
}
