//! The listener, and the URLs that lead to it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::state::ServerState;
use crate::tokens::{Request, UrlError};
use crate::{AttachRequest, ExecRequest, PortForwardRequest, StreamBackend, http1};

/// Connections that may be at their HTTP request; more wait in the kernel's queue.
const REQUESTS: usize = 128;
/// Pause after a failed accept (out of descriptors), which would fail again at once.
const PAUSE: Duration = Duration::from_millis(200);

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Whoever has a token is served: that must be the node only.
    #[error("streaming address {0} is not a loopback address")]
    NotLoopback(SocketAddr),
    /// The address cannot be listened on.
    #[error("listen on {address} for streaming: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The reason.
        source: std::io::Error,
    },
}

/// The streaming server. It ends, with all its connections, when this is dropped.
pub struct StreamServer {
    address: SocketAddr,
    shared: Arc<ServerState>,
    _stop: DropGuard,
}

impl StreamServer {
    /// Starts on 127.0.0.1 and a free port, in the network namespace of the calling thread.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(backend: Arc<dyn StreamBackend>) -> Result<Self, StartError> {
        Self::start_on((Ipv4Addr::LOCALHOST, 0).into(), backend).await
    }

    /// Starts on a configured loopback address; port 0 takes a free one.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start_on(address: SocketAddr, backend: Arc<dyn StreamBackend>) -> Result<Self, StartError> {
        if !address.ip().is_loopback() {
            return Err(StartError::NotLoopback(address));
        }
        let failed = |source| StartError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let stop = CancellationToken::new();
        let shared = Arc::new(ServerState::new(backend, stop.clone()));
        tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, _stop: stop.drop_guard() })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where a client gets to run the command, once, within a minute.
    ///
    /// # Errors
    /// See [`UrlError`].
    pub fn exec_url(&self, request: ExecRequest) -> Result<String, UrlError> {
        self.url(Request::Exec(request))
    }

    /// Where a client gets to attach, once, within a minute.
    ///
    /// # Errors
    /// See [`UrlError`].
    pub fn attach_url(&self, request: AttachRequest) -> Result<String, UrlError> {
        self.url(Request::Attach(request))
    }

    /// Where a client gets its ports forwarded, once, within a minute.
    ///
    /// # Errors
    /// See [`UrlError`].
    pub fn port_forward_url(&self, request: PortForwardRequest) -> Result<String, UrlError> {
        self.url(Request::PortForward(request))
    }

    fn url(&self, request: Request) -> Result<String, UrlError> {
        let kind = request.kind();
        let token = self.shared.tokens().insert(request, Instant::now())?;
        Ok(format!("http://{}/{kind}/{token}", self.address))
    }
}

async fn accept(listener: TcpListener, shared: Arc<ServerState>) {
    let requests = Arc::new(Semaphore::new(REQUESTS));
    loop {
        let next = async {
            let permit = Arc::clone(&requests).acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            () = shared.stop.cancelled() => return,
            next = next => next,
        };
        match accepted {
            Ok((connection, _)) => {
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    serve(connection, shared).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "accept of a streaming connection failed");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn serve(connection: TcpStream, shared: Arc<ServerState>) {
    if let Err(error) = connection.set_nodelay(true) {
        tracing::debug!(%error, "streaming connection is gone");
        return;
    }
    let stop = shared.stop.clone();
    tokio::select! {
        () = stop.cancelled() => {}
        () = http1::serve(connection, shared) => {}
    }
}
