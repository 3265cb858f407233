//! Serving on the socket, and the signals that say when to stop.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use cofferdam_admin_api::v1::admin_server::AdminServer;
use cofferdam_cri_api::v1::image_service_server::ImageServiceServer;
use cofferdam_cri_api::v1::runtime_service_server::RuntimeServiceServer;
use cofferdam_cri_server::{Backend, ImageServer, RuntimeServer};
use cofferdam_streaming::StreamServer;
use futures::TryStreamExt as _;
use tokio::net::UnixListener;
use tokio::signal::unix::{Signal as Listener, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;

use super::deadline::DeadlineLayer;
use super::http2::AnyAuthority;
use super::socket;
use crate::admin::AdminService;
use crate::daemon::Daemon;

/// kubelet's own limit for a message.
const MESSAGE: usize = 16 << 20;
/// How long requests under way may go on after SIGTERM. What they began goes on without them or is undone at the next
/// start.
const DRAIN: Duration = Duration::from_secs(5);

/// The services, being served.
pub struct Serving {
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<(), tonic::transport::Error>>,
}

/// Starts streaming, then listens on the socket.
pub async fn start(daemon: &Arc<Daemon>) -> anyhow::Result<Serving> {
    let runtime = &daemon.runtime;
    let address = daemon.config.streaming.address;
    let backend = Arc::new(Backend(Arc::downgrade(runtime)));
    let streams = StreamServer::start_on(address, backend).await;
    runtime.set_stream_server(streams.with_context(|| format!("streaming.address {address}"))?);
    let listener = socket::listen(&daemon.config.socket)?;
    listener.set_nonblocking(true)?;
    let incoming = UnixListenerStream::new(UnixListener::from_std(listener)?).map_ok(AnyAuthority::new);
    let (stop, mut stopped) = watch::channel(false);
    let cri = RuntimeServiceServer::new(RuntimeServer(runtime.clone()))
        .max_decoding_message_size(MESSAGE)
        .max_encoding_message_size(MESSAGE);
    let images = ImageServiceServer::new(ImageServer(runtime.clone()))
        .max_decoding_message_size(MESSAGE)
        .max_encoding_message_size(MESSAGE);
    let admin = AdminServer::new(AdminService::new(daemon.clone())).max_decoding_message_size(MESSAGE);
    let served = Server::builder().layer(DeadlineLayer).add_service(cri).add_service(images).add_service(admin);
    let task = tokio::spawn(served.serve_with_incoming_shutdown(incoming, async move {
        // A dropped sender is the end as well.
        let _ = stopped.wait_for(|stop| *stop).await;
    }));
    Ok(Serving { stop, task })
}

impl Serving {
    /// Takes no new requests and lets those under way end, for a while.
    pub async fn drain(mut self) {
        self.stop.send_replace(true);
        match tokio::time::timeout(DRAIN, &mut self.task).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => tracing::warn!(%error, "serving ended"),
            Ok(Err(error)) => tracing::error!(%error, "serving ended"),
            Err(_) => self.task.abort(),
        }
    }
}

/// What a signal asks for.
pub enum Signal {
    /// SIGHUP.
    Reload,
    /// SIGTERM or SIGINT, by name.
    End(&'static str),
}

/// The signals that the daemon listens to. SIGPIPE is ignored by Rust's runtime.
pub struct Ends {
    hup: Listener,
    term: Listener,
    int: Listener,
}

impl Ends {
    /// Listens from now on.
    pub fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("listen to signals");
        Ok(Ends {
            hup: listen(SignalKind::hangup())?,
            term: listen(SignalKind::terminate())?,
            int: listen(SignalKind::interrupt())?,
        })
    }

    /// The next one.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.hup.recv() => Signal::Reload,
            _ = self.term.recv() => Signal::End("SIGTERM"),
            _ = self.int.recv() => Signal::End("SIGINT"),
        }
    }
}
