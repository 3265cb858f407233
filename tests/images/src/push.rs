//! Pushes images to a registry by its HTTP API (OCI distribution-spec, monolithic uploads).

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::image::{INDEX_TYPE, index};
use crate::layer::Blob;
use crate::set::Named;

/// Pushes images to the registry at `addr` (`host:port`) in this thread's network namespace.
pub fn push(addr: &str, images: &[Named]) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let pusher = Pusher { addr };
        for named in images {
            pusher.named(named).await.with_context(|| format!("push {}:{} to {addr}", named.name, named.tag))?;
        }
        Ok(())
    })
}

struct Pusher<'a> {
    addr: &'a str,
}

impl Pusher<'_> {
    async fn named(&self, named: &Named) -> Result<()> {
        for image in &named.images {
            for blob in image.layers.iter().chain([&image.config]) {
                self.blob(named.name, blob).await?;
            }
        }
        if let [image] = named.images.as_slice() {
            return self.manifest(named.name, named.tag, image.media_type, &image.manifest).await;
        }
        for image in &named.images {
            self.manifest(named.name, &image.manifest.digest, image.media_type, &image.manifest).await?;
        }
        self.manifest(named.name, named.tag, INDEX_TYPE, &index(&named.images)?).await
    }

    async fn blob(&self, name: &str, blob: &Blob) -> Result<()> {
        let url = format!("/v2/{name}/blobs/{}", blob.digest);
        if self.send(Method::HEAD, &url, "", &[]).await?.status() == StatusCode::OK {
            return Ok(());
        }
        let started = self.send(Method::POST, &format!("/v2/{name}/blobs/uploads/"), "", &[]).await?;
        ensure!(started.status() == StatusCode::ACCEPTED, "upload refused: {}", started.status());
        let location = started.headers().get(header::LOCATION).context("an upload without a location")?.to_str()?;
        let location = location.strip_prefix(&format!("http://{}", self.addr)).unwrap_or(location);
        let separator = if location.contains('?') { '&' } else { '?' };
        let url = format!("{location}{separator}digest={}", blob.digest);
        self.created(Method::PUT, &url, "application/octet-stream", &blob.data).await
    }

    async fn manifest(&self, name: &str, reference: &str, media_type: &str, blob: &Blob) -> Result<()> {
        let url = format!("/v2/{name}/manifests/{reference}");
        self.created(Method::PUT, &url, media_type, &blob.data).await
    }

    async fn created(&self, method: Method, url: &str, content_type: &str, body: &[u8]) -> Result<()> {
        let response = self.send(method, url, content_type, body).await?;
        let status = response.status();
        if status != StatusCode::CREATED {
            let text = response.into_body().collect().await?.to_bytes();
            bail!("PUT {url}: {status}: {}", String::from_utf8_lossy(&text));
        }
        Ok(())
    }

    /// One request on a connection of its own: there are few, and none is on a slow network.
    async fn send(&self, method: Method, path: &str, content_type: &str, body: &[u8]) -> Result<Response<Incoming>> {
        let stream = TcpStream::connect(self.addr).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, self.addr);
        if !content_type.is_empty() {
            request = request.header(header::CONTENT_TYPE, content_type);
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(body)))?;
        sender.send_request(request).await.with_context(|| path.to_owned())
    }
}
