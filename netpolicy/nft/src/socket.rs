//! The netlink socket. One for life owns the table; reading uses others.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, getsockname, recv, send, setsockopt,
    socket, sockopt,
};
use nix::sys::time::TimeVal;

/// Bytes received at once: an error message repeats the message it is about.
const BUFFER: usize = 256 * 1024;
/// Bytes that one batch may have.
const SEND_BUFFER: usize = 64 * 1024 * 1024;
/// Seconds until the kernel must have answered.
const TIMEOUT: i64 = 30;

/// Bytes of changes that may wait to be heard of.
const NEWS_BUFFER: usize = 8 * 1024 * 1024;
/// NFNLGRP_NFTABLES (7) as a bit.
const NFTABLES_GROUP: u32 = 1 << 6;

const ERROR: u16 = libc::NLMSG_ERROR as u16;
const DONE: u16 = libc::NLMSG_DONE as u16;

/// A bound netlink socket of nfnetlink.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    port: u32,
}

/// A change that the kernel tells of.
pub struct News<'a> {
    /// Which kind of change (NFT_MSG_*).
    pub kind: u8,
    /// Netlink port of the socket that made it.
    pub port: u32,
    /// What follows the netlink header.
    pub body: &'a [u8],
}

/// An answer of the kernel about one message.
pub struct Answer {
    /// Sequence number of that message.
    pub seq: u32,
    /// What went wrong, if it did.
    pub error: Option<io::Error>,
}

impl Socket {
    /// A new socket in the network namespace of this thread.
    pub fn open() -> io::Result<Self> {
        let fd = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkNetFilter)?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        setsockopt(&fd, sockopt::SndBufForce, &SEND_BUFFER)?;
        setsockopt(&fd, sockopt::RcvBufForce, &(4 * BUFFER))?;
        Self::adopt(fd)
    }

    /// A socket that hears of every change of nftables in this thread's network namespace.
    pub fn listen() -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkNetFilter)?;
        setsockopt(&fd, sockopt::RcvBufForce, &NEWS_BUFFER)?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, NFTABLES_GROUP))?;
        Self::adopt(fd)
    }

    /// What `look` says of each change that was not heard of yet.
    pub fn news<T>(&self, mut look: impl FnMut(&News<'_>) -> T) -> io::Result<Vec<T>> {
        let (mut buffer, mut all) = (vec![0; BUFFER], Vec::new());
        loop {
            let length = match recv(self.fd.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                Err(nix::errno::Errno::EINTR) => continue,
                Err(nix::errno::Errno::EAGAIN) => return Ok(all),
                other => other?,
            };
            for message in messages(&buffer[..length]) {
                let kind = message.kind.to_be_bytes()[1];
                let port = message.whole.get(12..16).and_then(|b| b.try_into().ok()).map_or(0, u32::from_ne_bytes);
                all.push(look(&News { kind, port, body: message.whole.get(16..).unwrap_or_default() }));
            }
        }
    }

    /// Takes over a bound socket that another process has opened.
    pub fn adopt(fd: OwnedFd) -> io::Result<Self> {
        setsockopt(&fd, sockopt::ReceiveTimeout, &TimeVal::new(TIMEOUT, 0))?;
        let port = getsockname::<NetlinkAddr>(fd.as_raw_fd())?.pid();
        Ok(Socket { fd, port })
    }

    /// Its netlink port: by it the kernel knows the owner of a table.
    pub fn port(&self) -> u32 {
        self.port
    }

    /// Throws away what an earlier process did not read.
    pub fn drain(&self) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER];
        loop {
            match recv(self.fd.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                // ENOBUFS says that answers were lost; they were not ours.
                Ok(_) | Err(nix::errno::Errno::EINTR | nix::errno::Errno::ENOBUFS) => {}
                Err(nix::errno::Errno::EAGAIN) => return Ok(()),
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// Sends messages in one call.
    pub fn send(&self, bytes: &[u8]) -> io::Result<()> {
        let sent = send(self.fd.as_raw_fd(), bytes, MsgFlags::empty())?;
        if sent == bytes.len() { Ok(()) } else { Err(io::Error::other("netlink took only a part of a batch")) }
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match recv(self.fd.as_raw_fd(), buffer, MsgFlags::empty()) {
                Err(nix::errno::Errno::EINTR) => {}
                Err(nix::errno::Errno::EAGAIN) => {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, "the kernel did not answer"));
                }
                other => return Ok(other?),
            }
        }
    }

    /// The next answers (acknowledgements and errors).
    pub fn answers(&self) -> io::Result<Vec<Answer>> {
        let mut buffer = vec![0; BUFFER];
        let len = self.receive(&mut buffer)?;
        Ok(messages(&buffer[..len])
            .filter(|m| m.kind == ERROR)
            .map(|m| Answer { seq: m.seq, error: m.error() })
            .collect())
    }

    /// Sends a request for a list and gives each entry to `each`. `Ok(false)`: the list changed meanwhile, ask again.
    pub fn dump(&self, request: &[u8], mut each: impl FnMut(&[u8])) -> io::Result<bool> {
        self.send(request)?;
        let mut buffer = vec![0; BUFFER];
        let mut consistent = true;
        loop {
            let len = self.receive(&mut buffer)?;
            for message in messages(&buffer[..len]) {
                consistent &= message.flags & libc::NLM_F_DUMP_INTR as u16 == 0;
                match message.kind {
                    DONE => return Ok(consistent),
                    ERROR => return message.error().map_or(Ok(consistent), Err),
                    _ => each(message.whole),
                }
            }
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

struct Message<'a> {
    kind: u16,
    flags: u16,
    seq: u32,
    whole: &'a [u8],
}

impl Message<'_> {
    fn error(&self) -> Option<io::Error> {
        let code = self.whole.get(16..20).and_then(|b| b.try_into().ok()).map_or(-libc::EBADMSG, i32::from_ne_bytes);
        (code != 0).then(|| io::Error::from_raw_os_error(-code))
    }
}

/// The messages in what was received; ends at the first that is cut.
fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let header = bytes.get(..16)?;
        let word = |at: usize| u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let half = |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]);
        let len = word(0) as usize;
        let whole = bytes.get(..len.max(16))?;
        bytes = bytes.get(whole.len().next_multiple_of(4)..).unwrap_or_default();
        Some(Message { kind: half(4), flags: half(6), seq: word(8), whole })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_message_ends_the_list() {
        let mut bytes = vec![20, 0, 0, 0, 2, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff];
        bytes.extend_from_slice(&[200, 0, 0, 0, 2, 0]);
        let all: Vec<_> = messages(&bytes).collect();
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].seq, all[0].error().unwrap().raw_os_error()), (7, Some(1)));
    }
}
