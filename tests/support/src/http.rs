//! The smallest HTTP server and client, for probes into and out of pods.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::netns::Netns;

/// A server in a namespace that answers every request with its peer's address, and remembers who came.
#[derive(Debug)]
pub struct HttpServer {
    addr: SocketAddr,
    listener: TcpListener,
    peers: Arc<Mutex<Vec<SocketAddr>>>,
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl HttpServer {
    /// Listens at `addr` inside the namespace.
    pub fn start(netns: &Netns, addr: SocketAddr) -> Result<Self> {
        let listener = netns.enter(|| TcpListener::bind(addr).with_context(|| format!("listen at {addr}")))?;
        listener.set_nonblocking(true)?;
        let peers = Arc::new(Mutex::new(Vec::new()));
        let end = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let (listener, peers, end) = (listener.try_clone()?, Arc::clone(&peers), Arc::clone(&end));
            move || serve(&listener, &peers, &end)
        });
        Ok(Self { addr: listener.local_addr()?, listener, peers, end, thread: Some(thread) })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Everyone who connected, in order.
    pub fn peers(&self) -> Vec<SocketAddr> {
        self.peers.lock().map(|peers| peers.clone()).unwrap_or_default()
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = &self.listener;
    }
}

fn serve(listener: &TcpListener, peers: &Mutex<Vec<SocketAddr>>, end: &AtomicBool) {
    while !end.load(Ordering::Relaxed) {
        let Ok((mut stream, peer)) = listener.accept() else {
            std::thread::sleep(Duration::from_millis(10));
            continue;
        };
        if let Ok(mut peers) = peers.lock() {
            peers.push(peer);
        }
        let _ = stream.set_nonblocking(false);
        let _ = stream.set_read_timeout(Some(Duration::from_secs(2)));
        let _ = stream.read(&mut [0; 4096]);
        let body = format!("{}\n", peer.ip());
        let _ = write!(stream, "HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    }
}

/// The body of `http://addr/path` as seen from inside the namespace; an error when nothing comes within `limit`.
pub fn http_get(netns: &Netns, addr: SocketAddr, path: &str, limit: Duration) -> Result<String> {
    netns.enter(|| {
        let mut stream = TcpStream::connect_timeout(&addr, limit)?;
        stream.set_read_timeout(Some(limit))?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {addr}\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (_, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
        Ok(body.to_owned())
    })
}
