//! The HTTP request of a connection, up to its upgrade.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue, UPGRADE};
use http::{Method, Request as HttpRequest, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::negotiate::{ACCEPTED, PORT_FORWARD, PROTOCOL, REMOTE, Refusal, SPDY, negotiate};
use crate::state::ServerState;
use crate::tokens::Request;
use crate::{portforward, remote};

/// How long a client may take for its request's head.
const HEAD: Duration = Duration::from_secs(10);
/// Its largest size, bytes.
const HEAD_SIZE: usize = 16 * 1024;

type Answer = Response<Full<Bytes>>;

pub(crate) async fn serve(connection: TcpStream, shared: Arc<ServerState>) {
    let service = service_fn(|request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(answer(request, &shared)) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_SIZE)
        .serve_connection(TokioIo::new(connection), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "streaming request failed");
    }
}

fn answer(request: HttpRequest<Incoming>, shared: &Arc<ServerState>) -> Answer {
    let path = request.uri().path().trim_start_matches('/').to_owned();
    let (kind, token) = path.split_once('/').unwrap_or((&path, ""));
    // Only a token's holder learns what the server supports.
    if shared.tokens().get(kind, token, Instant::now()).is_none() {
        return plain(StatusCode::NOT_FOUND, "the token is unknown, was used, or has expired");
    }
    // SPDY clients POST, as kubectl does; older ones may GET.
    if !matches!(*request.method(), Method::GET | Method::POST) {
        return plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and POST are answered");
    }
    let protocols = if kind == "portforward" { PORT_FORWARD } else { REMOTE };
    let protocol = match negotiate(request.headers(), protocols) {
        Ok(protocol) => protocol,
        Err(refusal) => return refused(&refusal),
    };
    match shared.tokens().take(kind, token, Instant::now()) {
        Some(work) => upgrade(request, work, protocol, shared),
        None => plain(StatusCode::NOT_FOUND, "the token was used"),
    }
}

fn upgrade(
    request: HttpRequest<Incoming>,
    work: Request,
    protocol: Option<&'static str>,
    shared: &Arc<ServerState>,
) -> Answer {
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        let io = match hyper::upgrade::on(request).await {
            Ok(upgraded) => TokioIo::new(upgraded),
            Err(error) => return tracing::debug!(%error, "streaming client left during the upgrade"),
        };
        let backend = Arc::clone(&shared.backend);
        let served = async {
            match work {
                Request::Exec(exec) => remote::serve(io, protocol, remote::Command::Exec(exec), backend).await,
                Request::Attach(attach) => remote::serve(io, protocol, remote::Command::Attach(attach), backend).await,
                Request::PortForward(ports) => portforward::serve(io, ports, backend).await,
            }
        };
        tokio::select! {
            () = shared.stop.cancelled() => {}
            () = served => {}
        }
    });
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static(SPDY));
    if let Some(protocol) = protocol {
        headers.insert(PROTOCOL, HeaderValue::from_static(protocol));
    }
    answer
}

fn refused(refusal: &Refusal) -> Answer {
    let mut answer = plain(refusal.status(), &refusal.to_string());
    if let Refusal::Protocol { server, .. } = refusal {
        for name in *server {
            answer.headers_mut().append(ACCEPTED, HeaderValue::from_static(name));
        }
    }
    answer
}

fn plain(status: StatusCode, message: &str) -> Answer {
    let mut answer = Response::new(Full::from(format!("{message}\n")));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    // Not `keep_alive(false)`: hyper would say so in the answer to an upgrade too, and clients take that for a refusal.
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}
