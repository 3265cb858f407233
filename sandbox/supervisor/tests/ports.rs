//! An agent's two ports, from outside.
#![allow(clippy::unwrap_used, clippy::panic)] // A test that unwraps fails with the line it is about.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use cofferdam_pod_api::{
    Body, Decoder, GuestSetup, MAX_FRAME, NamespaceMode, Op, Outcome, PodError, Request, Setup, encode, opening,
    sync_after_magic,
};
use cofferdam_supervisor::{Guest, Runner, serve_ports};

struct NoGuest;

impl Guest for NoGuest {
    fn setup(&mut self, setup: &GuestSetup) -> Result<Box<dyn Runner>, PodError> {
        Err(PodError::Failed(format!("asked for {}", setup.hostname)))
    }
}

struct Port {
    socket: UnixStream,
    decoder: Decoder,
    synced: bool,
}

impl Port {
    fn next(&mut self) -> Body {
        loop {
            let frame = match self.synced {
                true => self.decoder.next_frame(),
                false => sync_after_magic(&mut self.decoder, &mut self.synced),
            };
            if let Some(body) = frame.unwrap().and_then(|frame| frame.body) {
                return body;
            }
            let mut buffer = [0; 4096];
            let length = self.socket.read(&mut buffer).unwrap();
            assert!(length > 0, "closed");
            self.decoder.push(&buffer[..length]);
        }
    }

    fn wait_for_epoch(&mut self, epoch: u64) {
        loop {
            match self.next() {
                Body::HelloReply(reply) if reply.epoch == epoch => return,
                // Each answer starts with the magic.
                Body::HelloReply(_) => self.synced = false,
                other => panic!("{other:?}"),
            }
        }
    }
}

// A guest that boots slowly finds all the hellos that were sent meanwhile, one behind the other on each port.
#[test]
fn hellos_that_queued_up_while_the_guest_booted_end_in_the_last_ones_session() {
    let (control, their_control) = UnixStream::pair().unwrap();
    let (data, their_data) = UnixStream::pair().unwrap();
    let mut ports = [control, data].map(|socket| {
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Port { socket, decoder: Decoder::new(MAX_FRAME), synced: false }
    });
    for epoch in 1..=5 {
        for port in &mut ports {
            port.socket.write_all(&opening(epoch)).unwrap();
        }
    }
    std::thread::spawn(move || serve_ports(their_control.into(), their_data.into(), Box::new(NoGuest)));
    for port in &mut ports {
        port.wait_for_epoch(5);
    }
    let setup = GuestSetup {
        id: "pod".into(),
        hostname: "this".into(),
        pid: NamespaceMode::Container,
        sysctls: BTreeMap::new(),
        shm_size: 1,
        link: None,
        powered_on: 0,
        seed: Vec::new(),
        init_seccomp: Vec::new(),
    };
    let setup = Op::Setup(Setup::new(&setup).unwrap());
    let mut bytes = Vec::new();
    encode(&Body::Request(Request { id: 7, fds: 0, op: Some(setup) }).into(), &mut bytes);
    ports[0].socket.write_all(&bytes).unwrap();
    match ports[0].next() {
        Body::Response(response) => match response.outcome {
            Some(Outcome::Error(error)) if response.id == 7 => {
                assert!(error.message.contains("asked for this"), "{error:?}")
            }
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}
