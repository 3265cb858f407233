//! Connections to a pod's localhost: whichever of its two addresses a server listens on, and when none answers.
#![allow(clippy::unwrap_used, clippy::panic)] // A test that unwraps fails with the line it is about.

#[path = "relay/peer.rs"]
mod peer;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread::JoinHandle;

use cofferdam_container::Launched;
use cofferdam_pod_api::{
    Body, ContainerSpec, Dial, Op, Outcome, PodError, STDIN, STDOUT, Stats, Stop, StreamCredit, StreamData, opening,
};
use cofferdam_supervisor::{ContainerHandle, End, Engine, ExitRecords, Runner, serve};
use cofferdam_test_support::{Netns, needs};
use peer::{Peer, data, request};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

/// A pod without containers, in the network namespace of whoever serves it.
struct Empty;

impl Runner for Empty {
    fn create(&mut self, _: &ContainerSpec) -> Result<(Box<dyn ContainerHandle>, Launched), PodError> {
        Err(PodError::Invalid("no containers here".into()))
    }

    fn socket(&mut self, address: &SocketAddr) -> Result<OwnedFd, PodError> {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        socket_with(family, SocketType::STREAM, flags, None).map_err(|error| PodError::Failed(error.to_string()))
    }

    fn stats(&mut self) -> Result<Stats, PodError> {
        Ok(Stats::default())
    }

    fn dead(&mut self) -> Option<String> {
        None
    }

    fn close(&mut self) -> Result<(), PodError> {
        Ok(())
    }
}

struct Pod {
    _dir: tempfile::TempDir,
    netns: Netns,
    daemon: Peer,
    server: Option<JoinHandle<End>>,
}

impl Pod {
    /// In this network namespace, in which no command may be run any more: a supervisor reaps all children of its
    /// process.
    fn new(netns: Netns) -> Pod {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        let records = dir.path().to_owned();
        // A thread has the namespaces of the one that it was started by.
        let serving = || {
            std::thread::spawn(move || {
                serve(listener.into(), Engine::new(Box::new(Empty), ExitRecords::create(&records).unwrap()))
            })
        };
        let server = Some(netns.run(serving));
        let mut daemon = Peer::new(UnixStream::connect(&path).unwrap());
        daemon.raw(&opening(5));
        assert!(matches!(daemon.receive(), Body::HelloReply(reply) if reply.error.is_empty()));
        Pod { _dir: dir, netns, daemon, server }
    }

    /// A server that answers one connection with what it was sent.
    fn echo(&self, address: &str) -> SocketAddr {
        let listener = self.netns.run(|| TcpListener::bind(address)).unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut text = [0; 4];
            stream.read_exact(&mut text).unwrap();
            stream.write_all(&text).unwrap();
        });
        address
    }

    fn dial(&mut self, port: u16) -> Outcome {
        self.daemon.send(&request(7, Op::Dial(Dial { port: port.into(), stream: 3 })));
        loop {
            if let Body::Response(response) = self.daemon.receive() {
                assert_eq!(response.id, 7);
                return response.outcome.unwrap();
            }
        }
    }

    fn assert_echoes(&mut self) {
        self.daemon.send(&data(3, STDIN, b"ping"));
        let mut came = Vec::new();
        while came.len() < 4 {
            match self.daemon.receive() {
                Body::StreamData(StreamData { stream: 3, channel: STDOUT, data, .. }) => came.extend(data),
                Body::StreamCredit(StreamCredit { .. }) => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(came, b"ping");
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        self.daemon.send(&request(99, Op::Stop(Stop {})));
        if let Some(server) = self.server.take() {
            let _ = server.join();
        }
    }
}

// One after the other, see `Pod::new`.
#[needs(root)]
#[test]
fn connections_to_a_pods_localhost() {
    a_server_is_reached_on_either_address_alone();
    where_nobody_listens_the_error_tells_of_both_addresses();
    a_connection_that_is_not_answered_is_given_up();
}

fn a_server_is_reached_on_either_address_alone() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let mut pod = Pod::new(Netns::new().unwrap());
        let port = pod.echo(address).port();
        assert!(matches!(pod.dial(port), Outcome::Empty(_)), "{address}");
        pod.assert_echoes();
    }
}

fn where_nobody_listens_the_error_tells_of_both_addresses() {
    let mut pod = Pod::new(Netns::new().unwrap());
    let Outcome::Error(error) = pod.dial(81) else { panic!("connected to nobody") };
    for part in ["127.0.0.1:81: ", "[::1]:81: ", "refused"] {
        assert!(error.message.contains(part), "{part:?} is not in {}", error.message);
    }
    // The same stream may be tried again.
    assert!(matches!(pod.dial(81), Outcome::Error(_)));
}

// Else who waits for the answer would take the guest for hung, and kill it.
fn a_connection_that_is_not_answered_is_given_up() {
    let netns = Netns::new().unwrap();
    netns.nft(&["add table inet t"]).unwrap();
    netns.nft(&["add chain inet t out { type filter hook output priority 0; }"]).unwrap();
    netns.nft(&["add rule inet t out tcp dport 81 drop"]).unwrap();
    let mut pod = Pod::new(netns);
    let Outcome::Error(error) = pod.dial(81) else { panic!("connected to nobody") };
    assert!(error.message.contains("no answer within 10s"), "{}", error.message);
}
