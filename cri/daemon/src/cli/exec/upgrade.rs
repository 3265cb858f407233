//! From a streaming URL to a connection that speaks SPDY.

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::cli::error::CliError;

/// Longest answer to the upgrade, bytes; a longer one is not the streaming server's.
const LONGEST: usize = 64 << 10;

/// An upgraded connection, and what came with the answer.
pub struct Connection {
    /// The connection.
    pub io: TcpStream,
    /// Bytes after the answer's head.
    pub rest: BytesMut,
}

/// Connects and upgrades.
pub async fn connect(url: &str) -> Result<Connection, CliError> {
    let failed = |why: &dyn std::fmt::Display| CliError::Other(format!("streaming connection {url}: {why}"));
    let (host, path) = url
        .strip_prefix("http://")
        .and_then(|rest| rest.find('/').map(|slash| rest.split_at(slash)))
        .ok_or_else(|| failed(&"is not an http URL"))?;
    let mut io = TcpStream::connect(host).await.map_err(|e| failed(&e))?;
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\nContent-Length: 0\r\n\r\n"
    );
    io.write_all(request.as_bytes()).await.map_err(|e| failed(&e))?;
    let mut answer = BytesMut::new();
    loop {
        if let Some(end) = answer.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = answer.split_to(end + 4);
            return match head.starts_with(b"HTTP/1.1 101 ") {
                true => Ok(Connection { io, rest: answer }),
                false => Err(failed(&refusal(&head, &answer))),
            };
        }
        match io.read_buf(&mut answer).await {
            Ok(1..) if answer.len() <= LONGEST => {}
            Ok(_) => return Err(failed(&"ended before it was upgraded")),
            Err(error) => return Err(failed(&error)),
        }
    }
}

fn refusal(head: &[u8], body: &[u8]) -> String {
    let head = String::from_utf8_lossy(head);
    let status = head.lines().next().unwrap_or_default().to_owned();
    format!("{status} {}", String::from_utf8_lossy(body)).trim().to_owned()
}
