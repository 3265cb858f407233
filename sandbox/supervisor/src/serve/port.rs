//! One end of a byte stream that carries frames: a unix socket or a virtio-serial port.

use std::collections::VecDeque;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use cofferdam_pod_api::{Decoder, Frame, FrameError, MAX_FDS, encode, sync_after_magic};
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use super::reactor::{Reactor, Token};

/// Why a port cannot be used further.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The peer closed it, or the kernel says so.
    Closed(String),
    /// The peer talks nonsense.
    Nonsense(FrameError),
}

/// How a port is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PortKind {
    /// A unix socket: level-triggered, end of file is the end, descriptors may come.
    Socket,
    /// A character device that reports a hang-up for as long as nobody listens: edge-triggered, read until empty.
    Device,
}

/// One end of a byte stream that carries frames.
pub(crate) struct PortIo {
    fd: OwnedFd,
    token: Token,
    kind: PortKind,
    decoder: Decoder,
    /// The magic was seen.
    pub(crate) synced: bool,
    out: Vec<u8>,
    written: usize,
    waiting: bool,
    /// Descriptors that came and belong to requests not yet read.
    pub(crate) fds: VecDeque<OwnedFd>,
}

impl PortIo {
    /// Watches a descriptor, which must be non-blocking.
    pub(crate) fn new(reactor: &Reactor, fd: OwnedFd, token: Token, kind: PortKind, max: usize) -> Result<Self, Errno> {
        let flags = match kind {
            PortKind::Socket => EventFlags::IN,
            PortKind::Device => EventFlags::IN | EventFlags::OUT | EventFlags::ET,
        };
        reactor.add(&fd, token, flags)?;
        let decoder = Decoder::new(max);
        Ok(PortIo {
            fd,
            token,
            kind,
            decoder,
            synced: false,
            out: Vec::new(),
            written: 0,
            waiting: false,
            fds: VecDeque::new(),
        })
    }

    /// Reads once into the decoder. `Ok(false)`: nothing there.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<bool, Fault> {
        let read = match self.kind {
            PortKind::Socket => self.receive(buffer),
            PortKind::Device => rustix::io::read(&self.fd, &mut *buffer),
        };
        match read {
            Ok(0) if self.kind == PortKind::Device => Ok(false),
            Ok(0) => Err(Fault::Closed("closed by the peer".into())),
            Ok(length) => {
                self.decoder.push(&buffer[..length]);
                Ok(true)
            }
            Err(Errno::AGAIN) => Ok(false),
            Err(Errno::INTR) => Ok(true),
            Err(error) => Err(Fault::Closed(error.to_string())),
        }
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Result<usize, Errno> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = recvmsg(&self.fd, &mut [IoSliceMut::new(buffer)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                self.fds.extend(fds);
            }
        }
        Ok(received.bytes)
    }

    /// The next frame that has come as a whole.
    pub(crate) fn next_frame(&mut self) -> Result<Option<Frame>, Fault> {
        let frame = match self.synced {
            true => self.decoder.next_frame(),
            false => sync_after_magic(&mut self.decoder, &mut self.synced),
        };
        frame.map_err(Fault::Nonsense)
    }

    /// Waits for a new magic; bytes that came since stay.
    pub(crate) fn desync(&mut self) {
        self.synced = false;
    }

    /// Forgets what came and what was to be sent: the peer is another one.
    pub(crate) fn reset(&mut self) {
        self.synced = false;
        self.decoder.reset();
        self.fds.clear();
        self.out.clear();
        self.written = 0;
    }

    /// Queues bytes.
    pub(crate) fn queue(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Queues a frame.
    pub(crate) fn queue_frame(&mut self, frame: &Frame) {
        encode(frame, &mut self.out);
    }

    /// Bytes that wait to be written.
    pub(crate) fn queued(&self) -> usize {
        self.out.len() - self.written
    }

    /// Nothing is left to be written.
    pub(crate) fn is_flushed(&self) -> bool {
        self.written == self.out.len()
    }

    /// Writes what is queued, as far as the peer takes it.
    pub(crate) fn flush(&mut self, reactor: &Reactor) -> Result<(), Fault> {
        while self.written < self.out.len() {
            match rustix::io::writev(&self.fd, &[IoSlice::new(&self.out[self.written..])]) {
                Ok(length) => self.written += length,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(error) => return Err(Fault::Closed(error.to_string())),
            }
        }
        let waiting = !self.is_flushed();
        if !waiting {
            self.written = 0;
            self.out.clear();
            if self.out.capacity() > 4096 {
                self.out = Vec::new();
            }
        }
        if self.kind == PortKind::Socket && waiting != self.waiting {
            let flags = if waiting { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
            reactor.set(&self.fd, self.token, flags);
            self.waiting = waiting;
        }
        Ok(())
    }
}
