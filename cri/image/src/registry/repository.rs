//! One repository at all of its endpoints: mirrors first, then the registry itself.

use std::collections::HashSet;
use std::time::Duration;

use futures::future::BoxFuture;
use oci_spec::distribution::Reference;
use reqwest::{Method, Response};

use super::answer::bounded;
use super::auth::Credentials;
use super::connection::{Ask, Connection};
use super::place::Endpoint;
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

/// What a name means at a registry.
pub(crate) enum Resolved {
    /// One of the digests that are known.
    Known(String),
    /// The digest of a document, and the document.
    Document(String, Vec<u8>),
}

impl Repository {
    /// Blocking: certificates are read.
    pub fn new(
        endpoints: Vec<Endpoint>,
        reference: &Reference,
        credentials: &Credentials,
        stall: Duration,
    ) -> Result<Self, ImageError> {
        let (last, name) = (endpoints.len().saturating_sub(1), reference.repository());
        let connect = |(i, endpoint)| Connection::new(endpoint, name, credentials.clone(), stall, i == last);
        let connections = endpoints.into_iter().enumerate().map(connect).collect::<Result<_, _>>()?;
        Ok(Repository { connections, registry: reference.registry().into(), name: name.into(), stall })
    }

    /// What a tag or digest means. Where digests of this repository are known, HEAD is asked first: a GET of a manifest
    /// counts as a pull at registries that limit them.
    pub async fn resolve(&self, wanted: &str, known: &HashSet<String>) -> Result<Resolved, ImageError> {
        let path = format!("{}/manifests/{wanted}", self.name);
        let mut errors = Vec::new();
        for connection in self.connections.iter().filter(|c| is_digest(wanted) || c.endpoint.resolve) {
            if !known.is_empty() {
                match self.ask(connection, Method::HEAD, &path, Some(ACCEPT), 0).await {
                    Ok(response) => match digest_header(&response).filter(|digest| known.contains(*digest)) {
                        Some(digest) if !is_digest(wanted) || digest == wanted => {
                            return Ok(Resolved::Known(digest.to_owned()));
                        }
                        _ => {}
                    },
                    Err(e @ ImageError::Unavailable(_)) => {
                        errors.push(e);
                        continue;
                    }
                    // GET says why, or it works.
                    Err(_) => {}
                }
            }
            match self.manifest_from(connection, &path, wanted).await {
                Ok((digest, bytes)) => return Ok(Resolved::Document(digest, bytes)),
                Err(e) => errors.push(e),
            }
        }
        Err(join(errors))
    }

    /// A manifest or an index by digest, verified.
    pub async fn manifest(&self, digest: &str) -> Result<Vec<u8>, ImageError> {
        let path = format!("{}/manifests/{digest}", self.name);
        let mut errors = Vec::new();
        for connection in &self.connections {
            match self.manifest_from(connection, &path, digest).await {
                Ok((_, bytes)) => return Ok(bytes),
                Err(e) => errors.push(e),
            }
        }
        Err(join(errors))
    }

    /// Its digest, verified against whatever says what it should be, and its bytes.
    async fn manifest_from(
        &self,
        connection: &Connection,
        path: &str,
        wanted: &str,
    ) -> Result<(String, Vec<u8>), ImageError> {
        let response = self.ask(connection, Method::GET, path, Some(ACCEPT), 0).await?;
        let (status, said) = (response.status(), digest_header(&response).map(str::to_owned));
        let bytes = bounded(response, MAX_DOCUMENT, self.stall).await?;
        let bad = |text: String| ImageError::Invalid(format!("{path} from {}: {text}", connection.endpoint.host));
        if bytes.is_empty() {
            return Err(bad(format!("the answer ({status}) has the size 0")));
        }
        let digest = names::digest_like(wanted, &bytes);
        if is_digest(wanted) && digest != wanted {
            return Err(bad(format!("its digest is {digest}")));
        }
        // By the algorithm that it names, which may be another one; what cannot be compared is passed over.
        let other = said.filter(|said| names::is_known(said) && names::digest_like(said, &bytes) != *said);
        match other {
            Some(said) => Err(bad(format!("its digest is {digest}, and Docker-Content-Digest says {said}"))),
            None => Ok((digest, bytes)),
        }
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
        let bytes = bounded(self.ask(connection, Method::GET, &path, None, 0).await?, MAX_DOCUMENT, self.stall).await?;
        if bytes.len() as u64 != wanted.size {
            let (host, size) = (&connection.endpoint.host, wanted.size);
            return Err(ImageError::Invalid(format!("{path} from {host}: its size is {}, not {size}", bytes.len())));
        }
        match names::digest_like(&wanted.digest, &bytes) {
            digest if digest == wanted.digest => Ok(bytes),
            digest => {
                Err(ImageError::Invalid(format!("{path} from {}: its digest is {digest}", connection.endpoint.host)))
            }
        }
    }

    /// The body of a blob from a byte on (an answer of the whole blob has status 200), from endpoint `index`.
    pub fn blob<'a>(&'a self, index: usize, digest: &str, from: u64) -> BoxFuture<'a, Result<Response, ImageError>> {
        let path = format!("{}/blobs/{digest}", self.name);
        Box::pin(async move { self.ask(&self.connections[index], Method::GET, &path, None, from).await })
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
        method: Method,
        path: &str,
        accept: Option<&str>,
        from: u64,
    ) -> Result<Response, ImageError> {
        // A mirror of several registries learns by it which one is meant.
        let query: &[(&str, &str)] = if connection.endpoint.own { &[] } else { &[("ns", &self.registry)] };
        connection.ask(&Ask { method, path, query, accept, from }).await
    }
}

fn is_digest(wanted: &str) -> bool {
    wanted.contains(':')
}

fn digest_header(response: &Response) -> Option<&str> {
    response.headers().get("docker-content-digest")?.to_str().ok()
}

/// All that went wrong; what the last endpoint, the registry itself, says decides the kind.
pub(crate) fn join(mut errors: Vec<ImageError>) -> ImageError {
    let Some(last) = errors.pop() else { return ImageError::Invalid("no endpoint is left by hosts.toml".into()) };
    match errors.is_empty() {
        true => last,
        false => last.context(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")),
    }
}
