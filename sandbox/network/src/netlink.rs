//! A netlink socket that asks and waits. It stays in the network namespace in which it was opened.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send, setsockopt, socket,
    sockopt,
};
use nix::sys::time::TimeVal;

use crate::wire::Message;

const ACK: u16 = libc::NLM_F_ACK as u16;
const DUMP: u16 = libc::NLM_F_DUMP as u16;
const BUFFER: usize = 128 * 1024;
/// Seconds until the kernel must have answered.
const TIMEOUT: i64 = 30;

/// One socket; one request at a time.
pub struct Netlink {
    fd: OwnedFd,
    seq: u32,
}

impl Netlink {
    /// Links, addresses, routes and neighbours.
    pub fn route() -> io::Result<Self> {
        Self::open(SockProtocol::NetlinkRoute)
    }

    /// Connection tracking.
    pub fn netfilter() -> io::Result<Self> {
        Self::open(SockProtocol::NetlinkNetFilter)
    }

    fn open(protocol: SockProtocol) -> io::Result<Self> {
        let fd = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        setsockopt(&fd, sockopt::ReceiveTimeout, &TimeVal::new(TIMEOUT, 0))?;
        Ok(Netlink { fd, seq: 0 })
    }

    /// Changes something; `flags` are those of NEW and DEL messages.
    pub fn change(
        &mut self,
        kind: u16,
        flags: u16,
        fixed: &[u8],
        attributes: impl FnOnce(Message) -> Message,
    ) -> io::Result<()> {
        self.ask(attributes(Message::new(kind, flags | ACK, fixed)), |_| {})
    }

    /// Lists entries; each comes as its type, fixed part and attributes, without the netlink header.
    pub fn list(&mut self, kind: u16, fixed: &[u8], each: impl FnMut(&[u8])) -> io::Result<()> {
        self.ask(Message::new(kind, DUMP, fixed), each)
    }

    /// Reads one entry.
    pub fn get(&mut self, kind: u16, fixed: &[u8], attributes: impl FnOnce(Message) -> Message) -> io::Result<Vec<u8>> {
        let mut found = Vec::new();
        self.ask(attributes(Message::new(kind, ACK, fixed)), |entry| found = entry.to_vec())?;
        Ok(found)
    }

    fn ask(&mut self, message: Message, mut each: impl FnMut(&[u8])) -> io::Result<()> {
        self.seq = self.seq.wrapping_add(1);
        send(self.fd.as_raw_fd(), &message.finish(self.seq), MsgFlags::empty())?;
        let mut buffer = vec![0; BUFFER];
        loop {
            let len = match recv(self.fd.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Err(Errno::EINTR) => continue,
                Err(Errno::EAGAIN) => return Err(io::Error::new(io::ErrorKind::TimedOut, "the kernel did not answer")),
                other => other?,
            };
            let mut rest = &buffer[..len];
            while let Some((kind, seq, body, next)) = split(rest) {
                rest = next;
                match i32::from(kind) {
                    _ if seq != self.seq => {}
                    libc::NLMSG_DONE => return Ok(()),
                    libc::NLMSG_ERROR => return error(body),
                    _ => each(body),
                }
            }
        }
    }
}

/// Type, sequence number and body of the first message, and the rest.
pub(crate) fn split(bytes: &[u8]) -> Option<(u16, u32, &[u8], &[u8])> {
    let len = u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
    let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
    let seq = u32::from_ne_bytes(bytes.get(8..12)?.try_into().ok()?);
    Some((kind, seq, bytes.get(16..len)?, bytes.get(len.next_multiple_of(4)..).unwrap_or_default()))
}

fn error(body: &[u8]) -> io::Result<()> {
    match body.get(..4).and_then(|b| b.try_into().ok()).map(i32::from_ne_bytes) {
        Some(0) => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(-code)),
        None => Err(io::ErrorKind::InvalidData.into()),
    }
}
