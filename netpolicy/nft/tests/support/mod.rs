//! Network namespaces for tests, each held by a thread of its own.
#![allow(dead_code)]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

type Job = Box<dyn FnOnce() + Send>;

/// A new network namespace; it ends with its thread.
pub struct Netns {
    jobs: Option<Sender<Job>>,
    thread: Option<std::thread::JoinHandle<()>>,
    /// Path by which others reach it.
    pub path: String,
}

impl Netns {
    pub fn new() -> Self {
        let (jobs, queue) = channel::<Job>();
        let (ready, path) = channel();
        let thread = std::thread::spawn(move || {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
            ready.send(format!("/proc/{}/task/{}/ns/net", std::process::id(), nix::unistd::gettid())).unwrap();
            queue.into_iter().for_each(|job| job());
        });
        let ns = Netns { jobs: Some(jobs), thread: Some(thread), path: path.recv().unwrap() };
        ns.ip("link set lo up");
        ns
    }

    /// Runs something inside and gives its result.
    pub fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, result) = channel();
        self.jobs.as_ref().unwrap().send(Box::new(move || drop(done.send(job())))).unwrap();
        result.recv().expect("the job panicked")
    }

    pub fn ip(&self, args: &str) {
        self.command("ip", args);
    }

    pub fn command(&self, program: &'static str, args: &str) -> String {
        let args: Vec<String> = args.split_whitespace().map(str::to_owned).collect();
        self.run(move || {
            let out = Command::new(program).args(&args).output().unwrap();
            assert!(out.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&out.stderr));
            String::from_utf8(out.stdout).unwrap()
        })
    }

    pub fn sysctl(&self, name: &'static str, value: &'static str) {
        self.run(move || std::fs::write(format!("/proc/sys/{name}"), value).unwrap());
    }

    /// Answers UDP and TCP on this port of any address, with what it was sent, until the namespace ends.
    pub fn serve(&self, port: u16) {
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

    /// Whether a datagram to this address is answered.
    pub fn udp(&self, to: &str) -> bool {
        let to: SocketAddr = to.parse().unwrap();
        self.run(move || {
            let socket = UdpSocket::bind((if to.is_ipv4() { "0.0.0.0" } else { "::" }, 0)).unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
            socket.send_to(b"x", to).is_ok() && socket.recv(&mut [0; 8]).is_ok()
        })
    }

    /// Whether a connection to this address answers.
    pub fn tcp(&self, to: &str) -> bool {
        let to: SocketAddr = to.parse().unwrap();
        self.run(move || {
            let Ok(mut stream) = TcpStream::connect_timeout(&to, Duration::from_millis(200)) else { return false };
            stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
            stream.write_all(b"x").is_ok() && stream.read_exact(&mut [0; 1]).is_ok()
        })
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        drop(self.jobs.take());
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

/// A router with two hosts: `a` is 10.1.0.2 and fd01::2 at `va`, `b` is 10.2.0.2 and fd02::2 at `vb`.
pub struct Net {
    pub router: Netns,
    pub a: Netns,
    pub b: Netns,
}

impl Net {
    pub fn new() -> Self {
        let (router, a, b) = (Netns::new(), Netns::new(), Netns::new());
        router.sysctl("net/ipv4/ip_forward", "1");
        router.sysctl("net/ipv6/conf/all/forwarding", "1");
        for ns in [&router, &a, &b] {
            ns.sysctl("net/ipv6/conf/default/accept_dad", "0");
        }
        for (ns, host, n) in [(&a, "va", 1), (&b, "vb", 2)] {
            router.ip(&format!("link add {host} type veth peer name eth0 netns {}", ns.path));
            router.ip(&format!("addr add 10.{n}.0.1/24 dev {host}"));
            router.ip(&format!("addr add fd0{n}::1/64 dev {host} nodad"));
            router.ip(&format!("link set {host} up"));
            ns.ip(&format!("addr add 10.{n}.0.2/24 dev eth0"));
            ns.ip(&format!("addr add fd0{n}::2/64 dev eth0 nodad"));
            ns.ip("link set eth0 up");
            ns.ip(&format!("route add default via 10.{n}.0.1"));
            ns.ip(&format!("-6 route add default via fd0{n}::1"));
        }
        b.serve(80);
        b.serve(81);
        let ready = std::time::Instant::now();
        while !(a.udp("[fd02::2]:80") && a.udp("10.2.0.2:80")) {
            assert!(ready.elapsed() < Duration::from_secs(10), "no way from a to b");
        }
        Net { router, a, b }
    }
}

/// Whether the test can run: false (said aloud) without root, unless CI demands it.
pub fn root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    assert!(root || std::env::var_os("CI").is_none(), "needs root");
    if !root {
        eprintln!("skipped: needs root");
    }
    root
}
