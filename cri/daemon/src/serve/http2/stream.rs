//! The connection as the server reads it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;

use super::frames::Frames;

/// A connection whose client may name any authority.
#[derive(Debug)]
pub struct AnyAuthority<S> {
    inner: S,
    frames: Frames,
}

impl<S> AnyAuthority<S> {
    /// From its first byte on.
    pub fn new(inner: S) -> Self {
        AnyAuthority { inner, frames: Frames::default() }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for AnyAuthority<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(cx, buffer);
        self.frames.mend(&mut buffer.filled_mut()[before..]);
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for AnyAuthority<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl<S: Connected> Connected for AnyAuthority<S> {
    type ConnectInfo = S::ConnectInfo;

    fn connect_info(&self) -> S::ConnectInfo {
        self.inner.connect_info()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixStream;
    use tonic::service::Routes;
    use tonic::transport::Server;

    use super::*;

    /// The preface, no settings, and one request that names an authority.
    fn request(name: &[u8], authority: &str) -> Vec<u8> {
        let path = "/runtime.v1.RuntimeService/Version";
        let block = [
            &[0x83, 0x86, 0x04, path.len() as u8][..],
            path.as_bytes(),
            name,
            &[authority.len() as u8],
            authority.as_bytes(),
            &[0x0f, 0x10, 16],
            b"application/grpc",
        ]
        .concat();
        let head = [0, 0, block.len() as u8, 1, 5, 0, 0, 0, 1];
        [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", &head[..], &block].concat()
    }

    /// The kind of the first frame that answers it: 1 is HEADERS, 3 is RST_STREAM.
    async fn answer<S>(wrap: impl Fn(UnixStream) -> S, name: &[u8], authority: &str) -> u8
    where
        S: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
        S::ConnectInfo: Clone + Send + Sync,
    {
        let (mut client, server) = UnixStream::pair().unwrap();
        let incoming = tokio_stream::once(Ok::<_, io::Error>(wrap(server)));
        let server = tokio::spawn(Server::builder().add_routes(Routes::default()).serve_with_incoming(incoming));
        client.write_all(&request(name, authority)).await.unwrap();
        let kind = loop {
            let mut head = [0; 9];
            tokio::time::timeout(Duration::from_secs(60), client.read_exact(&mut head)).await.unwrap().unwrap();
            let length = usize::from(head[1]) << 8 | usize::from(head[2]);
            client.read_exact(&mut vec![0; length]).await.unwrap();
            if head[5..] != [0; 4] {
                break head[3];
            }
        };
        server.abort();
        kind
    }

    #[tokio::test]
    async fn a_client_of_grpcs_c_core_gets_an_answer() {
        for authority in ["%2Frun%2Fcofferdam%2Fcofferdam.sock", "/run/cofferdam.sock", "localhost", "a:b:c", "@"] {
            // By index, and as the C core (1.85) writes it.
            for name in [&b"\x41"[..], b"\x40\x0a:authority"] {
                assert_eq!(answer(AnyAuthority::new, name, authority).await, 1, "{authority}");
            }
        }
        // What it is for: with this line gone wrong, the filter has become needless.
        assert_eq!(answer(|stream| stream, b"\x41", "%2Frun%2Fx").await, 3);
    }
}
