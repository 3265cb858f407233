//! What a child being set up and its parent say to each other, over a SOCK_SEQPACKET pair.

use std::os::fd::{AsFd, OwnedFd};

use cofferdam_sys::fd;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use crate::Error;
use crate::error::Step;

/// A message of the child.
#[derive(Debug)]
pub(crate) enum Message {
    /// The stager's child: number and pidfd.
    Child(i32, OwnedFd),
    /// Set up; what was asked for, if that is a descriptor.
    Ready(Option<OwnedFd>),
    /// The master of its terminal.
    Terminal(OwnedFd),
    /// It cannot go on.
    Failed(Error),
    /// The other end is closed: it was executed, or died.
    Closed,
}

#[derive(Debug)]
pub(crate) struct Channel(pub OwnedFd);

impl Channel {
    pub fn pair() -> Result<(Channel, Channel), Error> {
        let (a, b) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).step("socketpair")?;
        Ok((Channel(a), Channel(b)))
    }

    pub fn send_child(&self, pid: i32, pidfd: &OwnedFd) -> Result<(), Error> {
        let mut data = vec![b'C'];
        data.extend(pid.to_ne_bytes());
        fd::send(self.0.as_fd(), &data, &[pidfd.as_fd()]).step("send the pidfd")
    }

    pub fn send_terminal(&self, master: &OwnedFd) -> Result<(), Error> {
        fd::send(self.0.as_fd(), b"T", &[master.as_fd()]).step("send the terminal")
    }

    pub fn send_ready(&self, made: Option<&OwnedFd>) -> Result<(), Error> {
        let fds: Vec<_> = made.iter().map(|m| m.as_fd()).collect();
        fd::send(self.0.as_fd(), b"R", &fds).step("report that it is ready")
    }

    pub fn send_error(&self, error: &Error) {
        let (kind, text) = match error {
            Error::Refused { field, reason } => (b'F', format!("{field}\0{reason}")),
            Error::Failed { step, reason } => (b'E', format!("{step}\0{reason}")),
            Error::Command(text) => (b'X', text.clone()),
        };
        let mut data = vec![kind];
        data.extend(text.bytes().take(4000));
        // A plain write: what seccomp programs allow. The parent may be gone: then nobody wants to know.
        let _ = rustix::io::write(&self.0, &data);
    }

    /// Lets the child go on.
    pub fn send_go(&self) -> Result<(), Error> {
        fd::send(self.0.as_fd(), b"G", &[]).step("start the container")
    }

    /// Whether the child may go on; false: the parent is gone.
    pub fn wait_go(&self) -> bool {
        let mut data = [0; 1];
        // Plain read: what seccomp profiles allow.
        loop {
            match rustix::io::read(&self.0, &mut data) {
                Err(rustix::io::Errno::INTR) => {}
                other => return other == Ok(1),
            }
        }
    }

    pub fn receive(&self) -> Result<Message, Error> {
        let mut data = [0; 4096];
        let (length, mut fds) = fd::receive(self.0.as_fd(), &mut data).step("hear from the container's set-up")?;
        let data = &data[..length];
        let text = String::from_utf8_lossy(data.get(1..).unwrap_or_default()).into_owned();
        let halves = || {
            text.split_once('\0').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap_or((text.clone(), String::new()))
        };
        match data.first() {
            None => Ok(Message::Closed),
            Some(b'C') => {
                let pid = data.get(1..5).and_then(|b| b.try_into().ok()).map(i32::from_ne_bytes);
                match (pid, fds.pop()) {
                    (Some(pid), Some(fd)) => Ok(Message::Child(pid, fd)),
                    _ => Err(Error::failed("hear from the container's set-up", "no pidfd")),
                }
            }
            Some(b'T') => fds
                .pop()
                .map(Message::Terminal)
                .ok_or_else(|| Error::failed("hear from the container's set-up", "no terminal")),
            Some(b'R') => Ok(Message::Ready(fds.pop())),
            Some(b'F') => Ok(Message::Failed({
                let (field, reason) = halves();
                Error::Refused { field, reason }
            })),
            Some(b'X') => Ok(Message::Failed(Error::Command(text))),
            Some(_) => Ok(Message::Failed({
                let (step, reason) = halves();
                Error::Failed { step, reason }
            })),
        }
    }
}
