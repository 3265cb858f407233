//! One end of a connection in the protocol, as the test plays it.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
// Each test binary uses a part, and a test that unwraps fails with the line it is about.

use std::io::{IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use cofferdam_pod_api::{Body, Decoder, Hello, MAGIC, MAX_FRAME, Op, Request, StreamData, encode, sync_after_magic};
use cofferdam_test_support::PATIENCE;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

pub fn pair() -> (UnixStream, UnixStream) {
    UnixStream::pair().unwrap()
}

pub fn request(id: u64, op: Op) -> Body {
    Body::Request(Request { id, fds: 0, op: Some(op) })
}

pub fn data(stream: u32, channel: u32, data: &[u8]) -> Body {
    Body::StreamData(StreamData { stream, channel, data: data.to_vec(), eof: false })
}

/// One end of a connection.
pub struct Peer {
    stream: UnixStream,
    decoder: Decoder,
    synced: bool,
}

impl Peer {
    pub fn new(stream: UnixStream) -> Peer {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Peer { stream, decoder: Decoder::new(MAX_FRAME), synced: false }
    }

    pub fn raw(&mut self, bytes: &[u8]) {
        // The server may be gone already: that is what some tests wait for.
        let _ = self.stream.write_all(bytes);
    }

    pub fn send(&mut self, body: &Body) {
        let mut bytes = Vec::new();
        encode(&body.clone().into(), &mut bytes);
        self.raw(&bytes);
    }

    pub fn send_fd(&mut self, body: &Body, fd: &OwnedFd) {
        let mut bytes = Vec::new();
        encode(&body.clone().into(), &mut bytes);
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fds = [fd.as_fd()];
        assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
        assert_eq!(
            sendmsg(&self.stream, &[IoSlice::new(&bytes)], &mut control, SendFlags::empty()).unwrap(),
            bytes.len()
        );
    }

    pub fn try_receive(&mut self) -> Option<Body> {
        loop {
            let frame = match self.synced {
                true => self.decoder.next_frame(),
                false => sync_after_magic(&mut self.decoder, &mut self.synced),
            };
            // Another hello stands behind its own magic.
            let again = frame.is_err() && self.decoder.skip_past(&MAGIC);
            let frame = if again { self.decoder.next_frame() } else { frame };
            if let Some(frame) = frame.unwrap() {
                return frame.body;
            }
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(length) => self.decoder.push(&buffer[..length]),
                Err(error) => panic!("nothing came: {error}"),
            }
        }
    }

    pub fn receive(&mut self) -> Body {
        self.try_receive().expect("the connection is over")
    }

    pub fn hello(&mut self) -> Hello {
        self.synced = false;
        match self.receive() {
            Body::Hello(hello) => hello,
            other => panic!("{other:?}"),
        }
    }
}
