//! The way to the daemon: gRPC over its unix socket.

use std::ffi::OsStr;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use cofferdam_admin_api::v1::admin_client::AdminClient;
use cofferdam_cri_api::v1::image_service_client::ImageServiceClient;
use cofferdam_cri_api::v1::runtime_service_client::RuntimeServiceClient;
use hyper_util::rt::TokioIo;
use rustix::fs::{Mode, OFlags, open};
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};

use super::error::CliError;

/// What a socket address holds, without its NUL.
const ADDRESS: usize = 107;
/// Above the 16 MiB that a CRI answer may have.
const LARGEST: usize = 32 << 20;

/// One connection, three services.
#[derive(Clone)]
pub struct Clients {
    /// CRI's pods and containers.
    pub runtime: RuntimeServiceClient<Channel>,
    /// CRI's images.
    pub images: ImageServiceClient<Channel>,
    /// What CRI has no RPC for.
    pub admin: AdminClient<Channel>,
}

impl Clients {
    /// Connects.
    ///
    /// # Errors
    /// [`CliError::Connect`].
    pub async fn connect(socket: &Path) -> Result<Self, CliError> {
        let failed = |reason| CliError::Connect { socket: socket.to_owned(), reason };
        // Once by hand: tonic would hide the cause.
        drop(stream(socket).await.map_err(failed)?);
        let path = socket.to_owned();
        let connector = tower::service_fn(move |_| {
            let path = path.clone();
            async move { stream(&path).await.map(TokioIo::new) }
        });
        // The name is never resolved, but a request has to have one.
        let endpoint = Endpoint::from_static("http://cofferdam");
        let channel = endpoint.connect_with_connector(connector).await;
        let channel = channel.map_err(|e| failed(io::Error::other(e)))?;
        Ok(Clients {
            runtime: RuntimeServiceClient::new(channel.clone()).max_decoding_message_size(LARGEST),
            images: ImageServiceClient::new(channel.clone()).max_decoding_message_size(LARGEST),
            admin: AdminClient::new(channel).max_decoding_message_size(LARGEST),
        })
    }
}

async fn stream(socket: &Path) -> io::Result<UnixStream> {
    if socket.as_os_str().len() <= ADDRESS {
        return UnixStream::connect(socket).await;
    }
    let parent = socket.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let dir = open(parent, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let name = socket.file_name().unwrap_or(OsStr::new(""));
    let short = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd())).join(name);
    UnixStream::connect(short).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_at_a_long_path_is_reached() {
        let root = tempfile::tempdir().unwrap();
        let deep = root.path().join("d".repeat(120));
        std::fs::create_dir(&deep).unwrap();
        let dir = open(&deep, OFlags::PATH, Mode::empty()).unwrap();
        let short = format!("/proc/self/fd/{}/s", dir.as_raw_fd());
        let _listener = std::os::unix::net::UnixListener::bind(short).unwrap();
        stream(&deep.join("s")).await.unwrap();
    }

    #[tokio::test]
    async fn a_refused_connection_names_the_socket_and_the_command() {
        let Err(error) = Clients::connect(Path::new("/nonexistent/cofferdam.sock")).await else { panic!("connected") };
        let text = error.to_string();
        assert!(text.contains("/nonexistent/cofferdam.sock") && text.contains("cofferdam serve"), "{text}");
    }
}
