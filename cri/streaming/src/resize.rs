//! The resize stream: JSON values, one after the other.

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::sync::mpsc;

use crate::TerminalSize;

/// Longest text without a whole value, bytes; one has 30.
const LONGEST: usize = 4096;

/// Passes sizes on until the stream ends or says something else.
pub(crate) async fn forward(mut from: impl AsyncRead + Unpin, to: mpsc::Sender<TerminalSize>) {
    let mut buffer = Vec::new();
    while let Ok(1..) = from.read_buf(&mut buffer).await {
        match split(&buffer) {
            Ok((sizes, used)) if buffer.len() - used <= LONGEST => {
                buffer.drain(..used);
                // Of sizes that came together only the last one still matters.
                if let Some(size) = sizes.last()
                    && to.send(*size).await.is_err()
                {
                    return;
                }
            }
            _ => return tracing::debug!("resize stream with something else than terminal sizes"),
        }
    }
}

/// The whole values at the beginning, and how many bytes they take.
fn split(buffer: &[u8]) -> Result<(Vec<TerminalSize>, usize), serde_json::Error> {
    let mut values = serde_json::Deserializer::from_slice(buffer).into_iter::<TerminalSize>();
    let mut sizes = Vec::new();
    let mut used = 0;
    while let Some(value) = values.next() {
        match value {
            Ok(size) => sizes.push(size),
            Err(error) if error.is_eof() => return Ok((sizes, used)),
            Err(error) => return Err(error),
        }
        used = values.byte_offset();
    }
    Ok((sizes, used))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn forwarded(pieces: &[&[u8]]) -> Vec<TerminalSize> {
        let (to, mut sizes) = mpsc::channel(8);
        let mut stream = tokio_test_reader(pieces);
        forward(&mut stream, to).await;
        let mut all = Vec::new();
        while let Some(size) = sizes.recv().await {
            all.push(size);
        }
        all
    }

    /// Gives one piece a read.
    fn tokio_test_reader(pieces: &[&[u8]]) -> impl AsyncRead + Unpin + use<> {
        let pieces: Vec<_> = pieces.iter().map(|p| std::io::Result::Ok(bytes::Bytes::copy_from_slice(p))).collect();
        tokio_util::io::StreamReader::new(tokio_stream::iter(pieces))
    }

    fn size(width: u16, height: u16) -> TerminalSize {
        TerminalSize { width, height }
    }

    #[tokio::test]
    async fn sizes_may_come_in_any_pieces() {
        let sizes = forwarded(&[
            b"{\"Width\":80,\"Hei",
            b"ght\":24}\n",
            b"{\"Width\":1,\"Height\":2}{\"Width\":3,\"Height\":4}\n",
        ])
        .await;
        assert_eq!(sizes, [size(80, 24), size(3, 4)]);
    }

    #[tokio::test]
    async fn anything_else_ends_it() {
        let sizes = forwarded(&[b"{\"Width\":70000,\"Height\":1}", b"{\"Width\":1,\"Height\":1}"]).await;
        assert_eq!(sizes, []);
        let long = vec![b' '; LONGEST + 1];
        assert_eq!(forwarded(&[&long, b"{\"Width\":1,\"Height\":1}"]).await, []);
    }
}
