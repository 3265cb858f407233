//! One repository at all of its endpoints: mirrors first, then the registry itself.

use std::time::Duration;

use futures::future::BoxFuture;
use oci_spec::distribution::Reference;
use reqwest::Response;

use super::auth::Credentials;
use super::endpoint::{Connection, bounded};
use super::hosts::Endpoint;
use crate::manifest::{ACCEPT, Descriptor};
use crate::{ImageError, names};

/// No manifest, index or config is larger (containerd's limit for manifests).
const MAX_DOCUMENT: usize = 8 << 20;

/// Where an image comes from.
pub(crate) struct Repository {
    connections: Vec<Connection>,
    registry: String,
    name: String,
    stall: Duration,
}

impl Repository {
    pub fn new(
        endpoints: Vec<Endpoint>,
        reference: &Reference,
        credentials: &Credentials,
        stall: Duration,
    ) -> Result<Self, ImageError> {
        let connect = |endpoint| Connection::new(endpoint, credentials.clone(), stall);
        let connections = endpoints.into_iter().map(connect).collect::<Result<_, _>>()?;
        Ok(Repository {
            connections,
            registry: reference.registry().into(),
            name: reference.repository().into(),
            stall,
        })
    }

    /// A manifest or an index by tag or digest: its digest, verified where it was asked for, and its bytes.
    pub async fn manifest(&self, wanted: &str) -> Result<(String, Vec<u8>), ImageError> {
        let by_digest = wanted.starts_with("sha256:");
        let path = format!("{}/manifests/{wanted}", self.name);
        let fetch = async |connection: &Connection| {
            let response = self.ask(connection, &path, Some(ACCEPT), 0).await?;
            let bytes = bounded(response, MAX_DOCUMENT, self.stall).await?;
            let digest = names::sha256(&bytes);
            if by_digest && digest != wanted {
                return Err(ImageError::Invalid(format!(
                    "{path} from {}: its digest is {digest}",
                    connection.endpoint.host
                )));
            }
            Ok((digest, bytes))
        };
        let mut errors = Vec::new();
        for connection in self.connections.iter().filter(|c| by_digest || c.endpoint.resolve) {
            match fetch(connection).await {
                Ok(found) => return Ok(found),
                Err(e) => errors.push(e),
            }
        }
        Err(join(errors))
    }

    /// A small blob, its size and digest verified.
    pub async fn document(&self, wanted: &Descriptor) -> Result<Vec<u8>, ImageError> {
        if wanted.size > MAX_DOCUMENT as u64 {
            return Err(ImageError::Invalid(format!("{} is said to have {} bytes", wanted.digest, wanted.size)));
        }
        let mut errors = Vec::new();
        for connection in &self.connections {
            match self.document_from(connection, wanted).await {
                Ok(bytes) => return Ok(bytes),
                Err(e) => errors.push(e),
            }
        }
        Err(join(errors))
    }

    async fn document_from(&self, connection: &Connection, wanted: &Descriptor) -> Result<Vec<u8>, ImageError> {
        let path = format!("{}/blobs/{}", self.name, wanted.digest);
        let bytes = bounded(self.ask(connection, &path, None, 0).await?, MAX_DOCUMENT, self.stall).await?;
        match names::sha256(&bytes) {
            digest if digest == wanted.digest => Ok(bytes),
            digest => {
                Err(ImageError::Invalid(format!("{path} from {}: its digest is {digest}", connection.endpoint.host)))
            }
        }
    }

    /// The body of a blob from a byte on (an answer of the whole blob has status 200), from endpoint `index`.
    pub fn blob<'a>(&'a self, index: usize, digest: &str, from: u64) -> BoxFuture<'a, Result<Response, ImageError>> {
        let path = format!("{}/blobs/{digest}", self.name);
        Box::pin(async move { self.ask(&self.connections[index], &path, None, from).await })
    }

    /// How many endpoints there are.
    pub fn endpoints(&self) -> usize {
        self.connections.len()
    }

    /// The longest wait for the next bytes.
    pub fn stall(&self) -> Duration {
        self.stall
    }

    async fn ask(
        &self,
        connection: &Connection,
        path: &str,
        accept: Option<&str>,
        from: u64,
    ) -> Result<Response, ImageError> {
        // A mirror of several registries learns by it which one is meant.
        let query: &[(&str, &str)] = if connection.endpoint.own { &[] } else { &[("ns", &self.registry)] };
        connection.get(path, query, accept, from).await
    }
}

/// All that went wrong; what the last endpoint, the registry itself, says decides the kind.
pub(crate) fn join(mut errors: Vec<ImageError>) -> ImageError {
    let Some(last) = errors.pop() else { return ImageError::Invalid("no endpoint is left by hosts.toml".into()) };
    match errors.is_empty() {
        true => last,
        false => last.context(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")),
    }
}
