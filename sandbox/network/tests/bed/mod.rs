//! Pods in network namespaces of their own, through a host that is one too; real packets.
// A test that unwraps fails with the line it is about.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use cofferdam_network::{BuiltinConfig, BuiltinNetwork};
use cofferdam_sandbox::{Lease, NetworkAttachment, NetworkError, PodNetwork as _};
use cofferdam_test_support::{Netns, PATIENCE};

/// A network namespace as a new one is, without `lo` up.
pub fn bare() -> Netns {
    let netns = Netns::new().unwrap();
    netns.ip("link set lo down").unwrap();
    netns
}

pub trait Probes {
    /// Answers a connection with its peer's address and a datagram with itself, on port 80, until the test ends.
    fn serve(&self);
    /// Output of a command (an oracle that the code under test never runs).
    fn sh(&self, command: &str) -> String;
    /// The address that a server there sees of us; it answers.
    fn seen_by(&self, to: SocketAddr) -> String;
    /// Whether a server there answers within a short time; ask again until it does.
    fn sees(&self, to: SocketAddr) -> bool;
    /// Whether nothing answers there for a while; a slow machine makes this weaker, not false.
    fn cannot_reach(&self, to: SocketAddr) -> bool;
}

impl Probes for Netns {
    fn sh(&self, command: &str) -> String {
        self.shell(command).unwrap()
    }

    fn serve(&self) {
        self.run(|| {
            let tcp = TcpListener::bind(("::", 80)).unwrap();
            let udp = UdpSocket::bind(("::", 80)).unwrap();
            std::thread::spawn(move || {
                for mut stream in tcp.incoming().flatten() {
                    let peer = stream.peer_addr().unwrap().ip().to_canonical().to_string();
                    let _ = stream.write_all(peer.as_bytes());
                }
            });
            std::thread::spawn(move || {
                let mut buffer = [0; 64];
                while let Ok((len, peer)) = udp.recv_from(&mut buffer) {
                    let _ = udp.send_to(&buffer[..len], peer);
                }
            });
        });
    }

    fn seen_by(&self, to: SocketAddr) -> String {
        self.run(move || {
            let mut stream = TcpStream::connect_timeout(&to, PATIENCE).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            text
        })
    }

    fn sees(&self, to: SocketAddr) -> bool {
        self.run(move || {
            let Ok(mut stream) = TcpStream::connect_timeout(&to, Duration::from_millis(500)) else { return false };
            stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
            stream.read_to_string(&mut String::new()).is_ok()
        })
    }

    fn cannot_reach(&self, to: SocketAddr) -> bool {
        self.run(move || TcpStream::connect_timeout(&to, Duration::from_millis(500)).is_err())
    }
}

/// The host: a namespace, and a runtime whose thread is in it.
pub struct Host {
    pub ns: Netns,
    pub network: Arc<BuiltinNetwork>,
    /// STATE: the quarantine is in it.
    pub state: Arc<tempfile::TempDir>,
    runtime: Arc<tokio::runtime::Runtime>,
}

/// The network of a daemon that was just started.
pub fn network(ns: &Netns, state: &tempfile::TempDir) -> Arc<BuiltinNetwork> {
    let config = BuiltinConfig {
        interface_prefix: "cfd".into(),
        pod_cidrs: vec!["10.88.0.0/16".parse().unwrap(), "fd88::/64".parse().unwrap()],
        quarantine: state.path().join("quarantine"),
    };
    ns.run(|| Arc::new(BuiltinNetwork::new(config).unwrap()))
}

impl Host {
    /// Another daemon in place of the one before, with these pods.
    pub fn restart(&mut self, leases: Vec<Lease>) {
        self.network = network(&self.ns, &self.state);
        self.call(|network| async move { network.recover(&leases).await }).unwrap();
    }

    pub fn new() -> Self {
        let (ns, state) = (bare(), Arc::new(tempfile::tempdir().unwrap()));
        let runtime =
            ns.run(|| tokio::runtime::Builder::new_multi_thread().worker_threads(1).build()).map(Arc::new).unwrap();
        let network = network(&ns, &state);
        let host = Host { ns, network, state, runtime };
        host.call(|network| async move { network.recover(&[]).await }).unwrap();
        host
    }

    pub fn call<F: Future<Output = T> + Send + 'static, T: Send + 'static>(
        &self,
        job: impl FnOnce(Arc<BuiltinNetwork>) -> F + Send + 'static,
    ) -> T {
        let (network, runtime) = (self.network.clone(), self.runtime.clone());
        self.ns.run(move || runtime.block_on(job(network)))
    }

    pub fn attach(
        &self,
        sandbox: &str,
        to: NetworkAttachment,
    ) -> Result<(Lease, Option<std::os::fd::OwnedFd>), NetworkError> {
        let lease = self.network.allocate(sandbox)?;
        let wanted = lease.clone();
        let end = self.call(move |network| async move { network.attach(&wanted, to).await })?;
        assert_eq!(end.link.lease, lease);
        Ok((lease, end.tap))
    }

    pub fn up(&self, lease: &Lease) {
        let lease = lease.clone();
        self.call(move |network| async move { network.up(&lease).await }).unwrap();
    }

    /// A pod on the network.
    pub fn pod(&self, sandbox: &str) -> (Netns, Lease) {
        let pod = bare();
        let (lease, _) = self.attach(sandbox, NetworkAttachment::Netns(pod.path().to_owned())).unwrap();
        self.up(&lease);
        pod.serve();
        (pod, lease)
    }

    pub fn detach(&self, lease: &Lease) {
        let lease = lease.clone();
        self.call(move |network| async move {
            network.detach(&lease).await.unwrap();
            network.drain().await;
        });
    }
}
