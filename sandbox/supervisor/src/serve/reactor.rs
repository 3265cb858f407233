//! epoll, with tokens that say whose file descriptor it is.

use std::os::fd::{AsFd, OwnedFd};

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;

/// Whose descriptor: a kind, and a number of that kind's owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token {
    /// See [`kind`].
    pub(crate) kind: u8,
    /// Meaning depends on the kind.
    pub(crate) id: u32,
}

/// Kinds of token.
pub(crate) mod kind {
    /// The signalfd of SIGCHLD.
    pub(crate) const SIGNAL: u8 = 1;
    /// The listening socket.
    pub(crate) const LISTENER: u8 = 2;
    /// A requester's connection; the low bit of the id is the port.
    pub(crate) const CONNECTION: u8 = 3;
    /// Output of a process or port; the low two bits of the id are the channel.
    pub(crate) const OUTPUT: u8 = 16;
    /// Input of a process or port.
    pub(crate) const INPUT: u8 = 17;
    /// The pidfd of a process.
    pub(crate) const PROCESS: u8 = 18;
    /// A port of the guest behind a remote backend.
    pub(crate) const GUEST: u8 = 19;
    /// A process behind a VM.
    pub(crate) const WATCHED: u8 = 20;
}

impl Token {
    /// A token.
    pub(crate) fn new(kind: u8, id: u32) -> Self {
        Token { kind, id }
    }

    fn pack(self) -> u64 {
        u64::from(self.kind) << 32 | u64::from(self.id)
    }

    fn unpack(data: u64) -> Self {
        Token { kind: (data >> 32) as u8, id: data as u32 }
    }
}

/// What a descriptor is ready for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ready {
    /// Reading makes progress (data, end of file, or an error).
    pub(crate) read: bool,
    /// Writing makes progress (room, or an error).
    pub(crate) write: bool,
}

/// The epoll.
pub(crate) struct Reactor {
    epoll: OwnedFd,
}

impl Reactor {
    /// A new one.
    pub(crate) fn new() -> Result<Self, Errno> {
        Ok(Reactor { epoll: epoll::create(CreateFlags::CLOEXEC)? })
    }

    /// Watches a descriptor. It is forgotten when its last duplicate is closed, or by `remove`.
    pub(crate) fn add(&self, fd: impl AsFd, token: Token, flags: EventFlags) -> Result<(), Errno> {
        epoll::add(&self.epoll, fd, EventData::new_u64(token.pack()), flags)
    }

    /// Changes what is watched for.
    pub(crate) fn set(&self, fd: impl AsFd, token: Token, flags: EventFlags) {
        // Fails only for a descriptor that was never added, which no caller has.
        let _ = epoll::modify(&self.epoll, fd, EventData::new_u64(token.pack()), flags);
    }

    /// Forgets a descriptor.
    pub(crate) fn remove(&self, fd: impl AsFd) {
        let _ = epoll::delete(&self.epoll, fd);
    }

    /// Waits until something is ready, or the time is over.
    pub(crate) fn wait(&self, timeout: Option<&Timespec>) -> Result<Vec<(Token, Ready)>, Errno> {
        let mut events: Vec<Event> = Vec::with_capacity(32);
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), timeout) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
        Ok(events.iter().map(|event| (Token::unpack(event.data.u64()), Ready::from(event.flags))).collect())
    }
}

impl From<EventFlags> for Ready {
    fn from(flags: EventFlags) -> Self {
        let over = flags.intersects(EventFlags::HUP | EventFlags::ERR);
        Ready {
            read: over || flags.intersects(EventFlags::IN | EventFlags::RDHUP),
            write: over || flags.intersects(EventFlags::OUT),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_as_they_went() {
        for token in [Token::new(kind::GUEST, u32::MAX), Token::new(kind::SIGNAL, 0)] {
            assert_eq!(Token::unpack(token.pack()), token);
        }
    }
}
