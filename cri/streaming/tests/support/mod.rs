//! A client that speaks raw HTTP and the crate's own codec, and a backend that does what its commands say.
#![allow(dead_code, clippy::unwrap_used, reason = "each test binary uses a part, and a failure fails the test")]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use cofferdam_streaming::spdy::{Decoder, Encoder, Frame, Headers};
use cofferdam_streaming::{
    AttachRequest, ExecRequest, ExitStatus, PortDuplex, StreamBackend, StreamError, StreamIo, StreamServer,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(180);

/// Tells when a call of it ends, by whatever way.
pub struct Backend(pub mpsc::UnboundedSender<&'static str>);

struct Ended(mpsc::UnboundedSender<&'static str>);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.send("ended");
    }
}

#[async_trait::async_trait]
impl StreamBackend for Backend {
    async fn exec(&self, request: ExecRequest, mut io: StreamIo) -> Result<ExitStatus, StreamError> {
        let _ended = Ended(self.0.clone());
        let gone = |e: std::io::Error| StreamError::new(e.to_string());
        match request.cmd[0].as_str() {
            "echo" => {
                let (mut from, mut to) = (io.stdin.take().unwrap(), io.stdout.take().unwrap());
                tokio::io::copy(&mut from, &mut to).await.map_err(gone)?;
            }
            "write" => {
                let piece = vec![b'x'; 64 * 1024];
                let mut out = io.stdout.take().unwrap();
                for _ in 0..request.cmd[1].parse::<usize>().unwrap() {
                    out.write_all(&piece).await.map_err(gone)?;
                    let _ = self.0.send("wrote");
                }
            }
            "resize" => {
                let size = io.resize.recv().await.ok_or_else(|| StreamError::new("no size"))?;
                io.stderr.is_none().then_some(()).ok_or_else(|| StreamError::new("a terminal with stderr"))?;
                let text = format!("{}x{}", size.width, size.height);
                io.stdout.take().unwrap().write_all(text.as_bytes()).await.map_err(gone)?;
            }
            "sleep" => {
                let _ = self.0.send("sleeping");
                std::future::pending().await
            }
            "exit" => {
                io.stderr.take().unwrap().write_all(b"oops").await.map_err(gone)?;
                return Ok(ExitStatus { code: request.cmd[1].parse().unwrap() });
            }
            _ => return Err(StreamError::new("no such command")),
        }
        Ok(ExitStatus { code: 0 })
    }

    async fn attach(&self, request: AttachRequest, mut io: StreamIo) -> Result<ExitStatus, StreamError> {
        let mut out = io.stdout.take().unwrap();
        out.write_all(request.container_id.as_bytes()).await.map_err(|e| StreamError::new(e.to_string()))?;
        Ok(ExitStatus { code: 0 })
    }

    async fn port_forward(&self, sandbox_id: &str, port: u16, mut duplex: PortDuplex) -> Result<(), StreamError> {
        let _ended = Ended(self.0.clone());
        if port != 80 {
            return Err(StreamError::new("connection refused"));
        }
        let gone = |e: std::io::Error| StreamError::new(e.to_string());
        duplex.write.write_all(sandbox_id.as_bytes()).await.map_err(gone)?;
        tokio::io::copy(&mut duplex.read, &mut duplex.write).await.map_err(gone)?;
        duplex.write.shutdown().await.map_err(gone)
    }
}

pub async fn start() -> (StreamServer, mpsc::UnboundedReceiver<&'static str>) {
    let (events, received) = mpsc::unbounded_channel();
    (StreamServer::start(Arc::new(Backend(events))).await.unwrap(), received)
}

/// `flags`: of "i", "o", "e", "t".
pub fn exec(cmd: &[&str], flags: &str) -> ExecRequest {
    let has = |flag| flags.contains(flag);
    ExecRequest {
        container_id: "c".into(),
        cmd: cmd.iter().map(|c| (*c).into()).collect(),
        tty: has('t'),
        stdin: has('i'),
        stdout: has('o'),
        stderr: has('e'),
    }
}

/// Sends a request with these header lines; answers the connection and the answer's head and what follows it.
pub async fn request(url: &str, headers: &str) -> (TcpStream, String, BytesMut) {
    let (address, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut tcp = TcpStream::connect(address).await.unwrap();
    tcp.write_all(format!("POST /{path} HTTP/1.1\r\nHost: {address}\r\n{headers}\r\n").as_bytes()).await.unwrap();
    let mut bytes = BytesMut::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = bytes.split_to(end + 4);
            return (tcp, String::from_utf8(head.to_vec()).unwrap(), bytes);
        }
        assert_ne!(timeout(PATIENCE, tcp.read_buf(&mut bytes)).await.unwrap().unwrap(), 0, "no answer");
    }
}

pub const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\n";

/// An upgraded connection.
pub struct Client {
    pub tcp: TcpStream,
    encoder: Encoder,
    decoder: Decoder,
    bytes: BytesMut,
    last: u32,
    /// What has come on each stream, and whether it has ended.
    pub received: HashMap<u32, (Vec<u8>, bool)>,
    /// Ids of the streams in the order in which they ended.
    pub ended: Vec<u32>,
    pub reset: HashMap<u32, u32>,
}

impl Client {
    pub async fn connect(url: &str, protocol: Option<&str>) -> Self {
        let protocol = protocol.map(|p| format!("X-Stream-Protocol-Version: {p}\r\n")).unwrap_or_default();
        let (tcp, head, bytes) = request(url, &format!("{UPGRADE}{protocol}")).await;
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        assert!(!head.to_lowercase().contains("close"), "Go takes this for a refusal: {head}");
        let (received, reset) = (HashMap::new(), HashMap::new());
        Self {
            tcp,
            encoder: Encoder::default(),
            decoder: Decoder::default(),
            bytes,
            last: 0,
            received,
            ended: Vec::new(),
            reset,
        }
    }

    pub async fn send(&mut self, frame: Frame) {
        let mut out = BytesMut::new();
        self.encoder.encode(&frame, &mut out);
        self.tcp.write_all(&out).await.unwrap();
    }

    pub async fn data(&mut self, id: u32, data: &[u8], fin: bool) {
        self.send(Frame::Data { id, fin, data: Bytes::copy_from_slice(data) }).await;
    }

    /// Opens a stream and waits for its answer, as spdystream does.
    pub async fn open(&mut self, headers: &[(&str, &str)]) -> u32 {
        let id = if self.last == 0 { 1 } else { self.last + 2 };
        self.last = id;
        let headers = Headers(headers.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect());
        self.send(Frame::SynStream { id, fin: false, unidirectional: false, headers }).await;
        loop {
            match self.next().await.expect("an answer to SYN_STREAM") {
                Frame::SynReply { id: of, .. } | Frame::RstStream { id: of, .. } if of == id => return id,
                _ => {}
            }
        }
    }

    /// The next frame, which is also recorded; `None`: the connection has ended.
    pub async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.decoder.decode(&mut self.bytes).unwrap() {
                self.record(&frame);
                return Some(frame);
            }
            if timeout(PATIENCE, self.tcp.read_buf(&mut self.bytes)).await.expect("the server stalls").unwrap() == 0 {
                return None;
            }
        }
    }

    fn record(&mut self, frame: &Frame) {
        match frame {
            Frame::Data { id, fin, data } => {
                let (all, ended) = self.received.entry(*id).or_default();
                assert!(!*ended, "data after the end of stream {id}");
                all.extend_from_slice(data);
                *ended = *fin;
                if *fin {
                    self.ended.push(*id);
                }
            }
            Frame::RstStream { id, status } => drop(self.reset.insert(*id, *status)),
            _ => {}
        }
    }

    pub async fn until_ended(&mut self, id: u32) -> Vec<u8> {
        while !self.ended.contains(&id) {
            self.next().await.expect("the end of the stream");
        }
        self.received[&id].0.clone()
    }

    pub fn text(&self, id: u32) -> String {
        String::from_utf8(self.received.get(&id).map(|r| r.0.clone()).unwrap_or_default()).unwrap()
    }
}
