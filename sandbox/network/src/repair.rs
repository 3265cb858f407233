//! Keeps what we set on the host: a thread that hears of the kernel's changes and sets again what somebody took away.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use cofferdam_sandbox::NetworkError;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, setsockopt, socket, sockopt,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::expected::{Expected, News, UpLink};
use crate::netlink::{Netlink, split};
use crate::{host, link, route};

/// Links, neighbours, addresses and routes of both families, and their settings (RTNLGRP_IPV4_NETCONF is 24).
const GROUPS: i32 = libc::RTMGRP_LINK
    | libc::RTMGRP_NEIGH
    | libc::RTMGRP_IPV4_IFADDR
    | libc::RTMGRP_IPV4_ROUTE
    | libc::RTMGRP_IPV6_IFADDR
    | libc::RTMGRP_IPV6_ROUTE
    | (1 << 23)
    | (1 << 24);
const BUFFER: usize = 256 * 1024;
/// Room for the news of many changes at once.
const ROOM: usize = 4 << 20;
/// Between two repairs; doubled while somebody goes on taking things away.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LAST_PAUSE: Duration = Duration::from_secs(2);

/// Where the thread asks and tells.
pub(crate) trait Watched: Send + 'static {
    /// What should be there now; `None`: nobody wants it any more.
    fn expected(&self) -> Option<Expected>;
    /// The link of a sandbox, if it should still be there.
    fn link(&self, sandbox: &str) -> Option<UpLink>;
    /// The link has another index now.
    fn moved(&self, sandbox: &str, index: u32);
    /// Runs while nobody else changes what is expected, and the kernel by it.
    fn alone<T>(&self, job: impl FnOnce() -> T) -> Option<T>;
    /// How a repair went.
    fn repaired(&self, result: &Result<(), NetworkError>);
}

/// The thread goes on as long as this lives.
pub(crate) struct Watch {
    _alive: UnixStream,
}

/// Starts it, in the network namespace of the calling thread.
pub(crate) fn watch(watched: impl Watched) -> io::Result<Watch> {
    let news = listen()?;
    let (ours, theirs) = UnixStream::pair()?;
    std::thread::Builder::new().name("pod-network".into()).spawn(move || follow(&news, &theirs, &watched))?;
    Ok(Watch { _alive: ours })
}

/// Sets everything again; what is there stays as it is. Goes on after an error, and returns the first.
fn repair(watched: &impl Watched) -> Result<(), NetworkError> {
    let prepare = || watched.expected().map_or(Ok(()), |expected| host::prepare(&expected.cidrs));
    let mut result = watched.alone(prepare).unwrap_or(Ok(()));
    let Some(expected) = watched.expected() else { return Ok(()) };
    for sandbox in expected.links.keys() {
        let one = || watched.link(sandbox).map_or(Ok(()), |up| repair_link(watched, &expected, &up));
        if let (Some(Err(error)), true) = (watched.alone(one), result.is_ok()) {
            result = Err(error);
        }
    }
    result
}

fn repair_link(watched: &impl Watched, expected: &Expected, up: &UpLink) -> Result<(), NetworkError> {
    let lease = &up.lease;
    let mut netlink = Netlink::route().map_err(|e| NetworkError::failed("open a netlink socket", e))?;
    let found = route::link(&mut netlink, &lease.interface);
    if found.map_err(|e| NetworkError::failed("read a pod's link", e))?.is_none() {
        // A namespace that ended with its processes took the link along: the pod's end, and no harm to the node.
        let Some(netns) = up.netns.as_ref().filter(|netns| is_pinned(netns)) else {
            tracing::warn!(sandbox = lease.sandbox, interface = lease.interface, "the link of a pod is gone");
            return Ok(());
        };
        link::attach_veth(lease, netns, host::mtu(&mut netlink)?)?;
    }
    link::harden(&lease.interface)?;
    let index = link::up(lease, |address| expected.source_of(address))?;
    watched.moved(&lease.sandbox, index);
    Ok(())
}

/// Whether a file still holds a network namespace: it is one of `nsfs` (`NSFS_MAGIC` of linux/magic.h) as long as it
/// does.
fn is_pinned(netns: &Path) -> bool {
    rustix::fs::statfs(netns).is_ok_and(|fs| fs.f_type == 0x6e73_6673)
}

fn listen() -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute)?;
    setsockopt(&fd, sockopt::RcvBufForce, &ROOM)?;
    bind(fd.as_raw_fd(), &NetlinkAddr::new(0, GROUPS as u32))?;
    Ok(fd)
}

fn follow(news: &OwnedFd, alive: &UnixStream, watched: &impl Watched) {
    let (mut pause, mut last, mut harm) = (FIRST_PAUSE, Instant::now(), None);
    loop {
        // With a harm that is not mended yet, the pause; else until there are news.
        let Some(came) = wait(news, alive, harm.is_some().then(|| pause.saturating_sub(last.elapsed()))) else {
            return;
        };
        let Some(expected) = watched.expected() else { return };
        if came {
            harm = take(news, &expected).or(harm);
        }
        if harm.is_none() || last.elapsed() < pause {
            continue;
        }
        pause = if last.elapsed() < 2 * LAST_PAUSE { (pause * 2).min(LAST_PAUSE) } else { FIRST_PAUSE };
        tracing::warn!(reason = harm.as_deref(), "something of the pod network was changed; setting it again");
        let result = repair(watched);
        last = Instant::now();
        watched.repaired(&result);
        harm = result.err().map(|error| {
            tracing::error!(%error, "the pod network is not whole");
            error.to_string()
        });
    }
}

/// Whether there are news; `None`: nobody wants them any more.
fn wait(news: &OwnedFd, alive: &UnixStream, limit: Option<Duration>) -> Option<bool> {
    let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
    let mut fds = [PollFd::new(news, PollFlags::IN), PollFd::new(alive, PollFlags::IN)];
    let ready = poll(&mut fds, limit.as_ref()).unwrap_or(0);
    if !fds[1].revents().is_empty() {
        return None;
    }
    Some(ready > 0)
}

/// Reads all news there are; the first that tells of a harm.
fn take(news: &OwnedFd, expected: &Expected) -> Option<String> {
    let mut buffer = vec![0; BUFFER];
    let mut harm = None;
    loop {
        let length = match recv(news.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
            Ok(length) => length,
            Err(Errno::EINTR) => continue,
            // Some news are lost: then look at everything.
            Err(Errno::ENOBUFS) => {
                harm = Some("more changes than could be heard of".to_owned());
                continue;
            }
            Err(_) => return harm,
        };
        let mut rest = &buffer[..length];
        while let Some((kind, _, body, next)) = split(rest) {
            rest = next;
            harm = harm.or_else(|| expected.harmed_by(&News { kind, body }));
        }
    }
}
