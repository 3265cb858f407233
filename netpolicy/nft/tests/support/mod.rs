//! A small network of namespaces, and probes in it.
#![allow(dead_code)]

pub mod node;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use cofferdam_netpolicy::ir::{Base, Chain, ChainKind, ChainPolicy, Expr, Field, Hook, Ruleset, Value};
use cofferdam_test_support::{Netns, eventually};

/// A table `t` that drops UDP to port 80 on its way through.
pub fn no_udp_80() -> Ruleset {
    let mut table = Ruleset::new("t");
    let base = Base { kind: ChainKind::Filter, hook: Hook::Forward, priority: 0, policy: ChainPolicy::Accept };
    let port = Expr::eq(Field::Dport, Value::Port(80));
    table.chain("forward", Chain::base(base, vec![vec![Expr::eq(Field::L4proto, Value::U8(17)), port, Expr::drop()]]));
    table
}

/// What asks in a network namespace, and what answers there.
pub trait Probes {
    /// Output of `ip`, `nft` and the like.
    fn told(&self, program: &str, args: &str) -> String;
    /// Answers UDP and TCP on this port of any address, with what it was sent, until the test ends.
    fn serve(&self, port: u16);
    /// Whether a datagram to this address is answered.
    fn udp(&self, to: &str) -> bool;
    /// Whether a connection to this address answers.
    fn tcp(&self, to: &str) -> bool;
}

impl Probes for Netns {
    fn told(&self, program: &str, args: &str) -> String {
        self.output(program, &args.split_whitespace().collect::<Vec<_>>()).unwrap().ok().unwrap()
    }

    fn serve(&self, port: u16) {
        self.run(move || {
            let udp = UdpSocket::bind(("::", port)).unwrap();
            let tcp = TcpListener::bind(("::", port)).unwrap();
            std::thread::spawn(move || {
                let mut buffer = [0; 64];
                while let Ok((len, peer)) = udp.recv_from(&mut buffer) {
                    let _ = udp.send_to(&buffer[..len], peer);
                }
            });
            std::thread::spawn(move || {
                for mut stream in tcp.incoming().flatten() {
                    let mut byte = [0];
                    let _ = stream.read(&mut byte).and_then(|_| stream.write(&byte));
                }
            });
        });
    }

    fn udp(&self, to: &str) -> bool {
        let to: SocketAddr = to.parse().unwrap();
        self.run(move || {
            let socket = UdpSocket::bind((if to.is_ipv4() { "0.0.0.0" } else { "::" }, 0)).unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
            socket.send_to(b"x", to).is_ok() && socket.recv(&mut [0; 8]).is_ok()
        })
    }

    fn tcp(&self, to: &str) -> bool {
        let to: SocketAddr = to.parse().unwrap();
        self.run(move || {
            let Ok(mut stream) = TcpStream::connect_timeout(&to, Duration::from_millis(200)) else { return false };
            stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
            stream.write_all(b"x").is_ok() && stream.read_exact(&mut [0; 1]).is_ok()
        })
    }
}

/// A network namespace.
pub fn netns() -> Netns {
    Netns::new().unwrap()
}

/// A router with two hosts: `a` is 10.1.0.2 and fd01::2 at `va`, `b` is 10.2.0.2 and fd02::2 at `vb`.
pub struct Net {
    pub router: Netns,
    pub a: Netns,
    pub b: Netns,
}

impl Net {
    pub fn new() -> Self {
        let (router, a, b) = (netns(), netns(), netns());
        router.sysctl("ipv4/ip_forward", "1").unwrap();
        router.sysctl("ipv6/conf/all/forwarding", "1").unwrap();
        for ns in [&router, &a, &b] {
            ns.sysctl("ipv6/conf/default/accept_dad", "0").unwrap();
        }
        for (ns, host, n) in [(&a, "va", 1), (&b, "vb", 2)] {
            router.ip(&format!("link add {host} type veth peer name eth0 netns {}", ns.path().display())).unwrap();
            router.ip(&format!("addr add 10.{n}.0.1/24 dev {host}")).unwrap();
            router.ip(&format!("addr add fd0{n}::1/64 dev {host} nodad")).unwrap();
            router.ip(&format!("link set {host} up")).unwrap();
            ns.ip(&format!("addr add 10.{n}.0.2/24 dev eth0")).unwrap();
            ns.ip(&format!("addr add fd0{n}::2/64 dev eth0 nodad")).unwrap();
            ns.ip("link set eth0 up").unwrap();
            ns.ip(&format!("route add default via 10.{n}.0.1")).unwrap();
            ns.ip(&format!("-6 route add default via fd0{n}::1")).unwrap();
        }
        b.serve(80);
        b.serve(81);
        eventually("a way from a to b", || a.udp("[fd02::2]:80") && a.udp("10.2.0.2:80")).unwrap();
        Net { router, a, b }
    }
}
