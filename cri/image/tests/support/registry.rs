//! A registry in this process. It serves what it is given and misbehaves as it is told.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;

use super::image::{Image, sha256};

type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// What happens to an answer.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The connection breaks after so many bytes.
    Break(usize),
    /// Nothing comes after so many bytes.
    Stall(usize),
    /// So many bytes at once, then nothing for so long, and so on.
    Trickle(usize, Duration),
    /// An error.
    Status(u16),
    /// Another answer: status, headers, body.
    Reply(u16, Vec<(&'static str, String)>, &'static str),
    /// The answer, with a header more.
    With(&'static str, String),
    /// Other content of the same length.
    Flip,
    /// The whole is sent though a range was asked for.
    NoRange,
    /// The answer waits.
    Delay(Duration),
}

#[derive(Default)]
struct State {
    content: Mutex<HashMap<String, Vec<u8>>>,
    faults: Mutex<Vec<(String, usize, Fault)>>,
    requests: Mutex<Vec<String>>,
    credentials: Mutex<Option<String>>,
    challenge: Mutex<Option<String>>,
    scope: Mutex<Option<String>>,
}

pub struct Registry {
    pub address: SocketAddr,
    state: Arc<State>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Registry {
    pub async fn start() -> Self {
        Self::listen(None).await
    }

    /// Over TLS.
    pub async fn start_tls(tls: tokio_rustls::TlsAcceptor) -> Self {
        Self::listen(Some(tls)).await
    }

    async fn listen(tls: Option<tokio_rustls::TlsAcceptor>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let shared = state.clone();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let state = shared.clone();
                let service = hyper::service::service_fn(move |request| answer(state.clone(), address, request));
                let server = hyper::server::conn::http1::Builder::new();
                match tls.clone() {
                    None => drop(tokio::spawn(server.serve_connection(TokioIo::new(stream), service))),
                    Some(tls) => drop(tokio::spawn(async move {
                        if let Ok(stream) = tls.accept(stream).await {
                            let _ = server.serve_connection(TokioIo::new(stream), service).await;
                        }
                    })),
                }
            }
        });
        Registry { address, state, task }
    }

    /// `ADDRESS/name:tag`.
    pub fn reference(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }

    pub fn put(&self, name: &str, tag: &str, image: &Image) {
        for blob in image.layers.iter().chain([&image.config]) {
            self.put_raw(&format!("/v2/{name}/blobs/{}", sha256(blob)), blob);
        }
        for reference in [tag.to_owned(), sha256(&image.manifest)] {
            self.put_raw(&format!("/v2/{name}/manifests/{reference}"), &image.manifest);
        }
    }

    pub fn put_raw(&self, path: &str, bytes: &[u8]) {
        self.state.content.lock().unwrap().insert(path.into(), bytes.to_vec());
    }

    /// The next so many requests whose path contains the text go wrong.
    pub fn fail(&self, path: &str, times: usize, fault: Fault) {
        self.state.faults.lock().unwrap().push((path.into(), times, fault));
    }

    /// Asks for a token, which only these credentials get.
    pub fn require(&self, user: &str, password: &str) {
        use base64::Engine as _;
        let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        *self.state.credentials.lock().unwrap() = Some(format!("Basic {pair}"));
    }

    /// Asks for a token in these words, and gives a useful one to those who name this scope.
    pub fn challenge(&self, challenge: &str, scope: &str) {
        *self.state.challenge.lock().unwrap() = Some(challenge.into());
        *self.state.scope.lock().unwrap() = Some(scope.into());
    }

    /// `METHOD PATH[?QUERY] RANGE AUTHORIZATION X-SECRET` of each request.
    pub fn requests(&self) -> Vec<String> {
        self.state.requests.lock().unwrap().clone()
    }

    pub fn count(&self, path: &str) -> usize {
        self.requests().iter().filter(|r| r.contains(path)).count()
    }

    /// Makes this the mirror of another registry.
    pub fn mirror(&self, root: &Path, host: &str) {
        let dir = root.join("certs.d").join(host);
        std::fs::create_dir_all(&dir).unwrap();
        let text = format!("[host.\"http://{}\"]\ncapabilities = [\"pull\", \"resolve\"]\n", self.address);
        std::fs::write(dir.join("hosts.toml"), text).unwrap();
    }
}

fn header(request: &Request<Incoming>, name: &str) -> String {
    request.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned()
}

async fn answer(
    state: Arc<State>,
    address: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let (path, range, authorization) =
        (request.uri().path().to_owned(), header(&request, "range"), header(&request, "authorization"));
    let line =
        format!("{} {} {range} {authorization} {}", request.method(), request.uri(), header(&request, "x-secret"));
    state.requests.lock().unwrap().push(line);
    let challenge = state.challenge.lock().unwrap().clone();
    if let Some(challenge) = challenge {
        let scope = state.scope.lock().unwrap().clone().unwrap_or_default();
        let named = request.uri().query().unwrap_or_default().contains(&scope);
        if path == "/token" {
            let token: &[u8] = if named { br#"{"access_token":"good","token":""}"# } else { br#"{"token":"bad"}"# };
            return Ok(full(200, token.to_vec()));
        }
        if authorization != "Bearer good" {
            let mut response = full(401, Vec::new());
            response.headers_mut().insert("www-authenticate", challenge.parse().unwrap());
            return Ok(response);
        }
    }
    if path == "/token" {
        let right = state.credentials.lock().unwrap().as_ref() == Some(&authorization);
        let status = if right { 200 } else { 401 };
        return Ok(full(status, br#"{"token":"secret-token"}"#.to_vec()));
    }
    if state.credentials.lock().unwrap().is_some() && authorization != "Bearer secret-token" {
        let mut response = full(401, Vec::new());
        let asked = format!("Bearer realm=\"http://{address}/token\",service=\"test\",scope=\"repository:x:pull\"");
        response.headers_mut().insert("www-authenticate", asked.parse().unwrap());
        return Ok(response);
    }
    let Some(bytes) = state.content.lock().unwrap().get(&path).cloned() else {
        return Ok(full(404, br#"{"errors":[{"code":"MANIFEST_UNKNOWN"}]}"#.to_vec()));
    };
    let fault = take(&state, &path);
    if let Some(Fault::Delay(time)) = &fault {
        tokio::time::sleep(*time).await;
    }
    Ok(content(bytes, &range, fault))
}

fn take(state: &State, path: &str) -> Option<Fault> {
    let mut faults = state.faults.lock().unwrap();
    let (_, times, fault) = faults.iter_mut().find(|(part, times, _)| *times > 0 && path.contains(part.as_str()))?;
    *times -= 1;
    Some(fault.clone())
}

fn content(mut bytes: Vec<u8>, range: &str, fault: Option<Fault>) -> Response<Body> {
    let total = bytes.len();
    let from = range.strip_prefix("bytes=").and_then(|r| r.strip_suffix('-')).and_then(|n| n.parse::<usize>().ok());
    let from = from.filter(|_| !matches!(fault, Some(Fault::NoRange)));
    bytes.drain(..from.unwrap_or(0));
    match fault {
        Some(Fault::Status(code)) => return full(code, b"no".to_vec()),
        Some(Fault::Reply(code, headers, body)) => {
            let mut response = full(code, body.as_bytes().to_vec());
            for (name, value) in headers {
                response.headers_mut().insert(name, value.parse().unwrap());
            }
            return response;
        }
        Some(Fault::Flip) => bytes.iter_mut().for_each(|b| *b ^= 1),
        _ => {}
    }
    let length = bytes.len();
    let more = match &fault {
        Some(Fault::With(name, value)) => Some((*name, value.clone())),
        _ => None,
    };
    let body: Body = match fault {
        Some(Fault::Break(n)) => {
            let broken = Err(std::io::Error::other("broken on purpose"));
            // The pause lets the bytes reach the client before the reset.
            let parts = futures::stream::iter([Ok(Frame::data(Bytes::from(bytes[..n].to_vec())))]).chain(
                futures::stream::once(async {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    broken
                }),
            );
            StreamBody::new(parts).boxed_unsync()
        }
        Some(Fault::Stall(n)) => {
            let parts = futures::stream::iter([Ok(Frame::data(Bytes::from(bytes[..n].to_vec())))])
                .chain(futures::stream::pending());
            StreamBody::new(parts).boxed_unsync()
        }
        Some(Fault::Trickle(n, pause)) => {
            let pieces: Vec<_> = bytes.chunks(n).map(Bytes::copy_from_slice).collect();
            let parts = futures::stream::iter(pieces).then(move |piece| async move {
                tokio::time::sleep(pause).await;
                Ok(Frame::data(piece))
            });
            StreamBody::new(parts).boxed_unsync()
        }
        _ => Full::new(Bytes::from(bytes)).map_err(|never| match never {}).boxed_unsync(),
    };
    let mut response = Response::new(body);
    response.headers_mut().insert("content-length", length.into());
    if let Some((name, value)) = more {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    if let Some(from) = from {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let range = format!("bytes {from}-{}/{total}", total.saturating_sub(1));
        response.headers_mut().insert("content-range", range.parse().unwrap());
    }
    response
}

fn full(status: u16, bytes: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(bytes)).map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}
