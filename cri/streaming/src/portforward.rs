//! Port-forward: each connection is a pair of streams, one for data and one for an error.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval};

use crate::remote::{CREATION, IDLE};
use crate::spdy::{Headers, Incoming, Session, StreamRead, StreamWrite, reset};
use crate::{PortDuplex, PortForwardRequest, StreamBackend, StreamError};

/// An accepted stream and its id.
struct Opened {
    id: u32,
    read: StreamRead,
    write: StreamWrite,
}

/// The streams of one connection, until both are there.
struct Half {
    data: Option<Opened>,
    error: Option<Opened>,
    port: u16,
    since: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Data,
    Error,
}

/// Serves an upgraded connection to its end.
pub(crate) async fn serve(
    io: impl AsyncRead + AsyncWrite + Send + 'static,
    request: PortForwardRequest,
    backend: Arc<dyn StreamBackend>,
) {
    let mut session = Session::start(io, IDLE);
    let resetter = session.resetter();
    let mut halves: HashMap<String, Half> = HashMap::new();
    let mut connections = JoinSet::new();
    let mut tick = interval(CREATION / 6);
    loop {
        tokio::select! {
            stream = session.accept() => {
                let Some(stream) = stream else { break };
                if let Some((port, data, error)) = add(&mut halves, stream, &request) {
                    let (backend, sandbox) = (Arc::clone(&backend), request.sandbox_id.clone());
                    connections.spawn(forward(backend, sandbox, port, data, error, resetter.clone()));
                }
            }
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            _ = tick.tick() => expire(&mut halves, &resetter),
        }
    }
    // The client has gone or broke the protocol: what still runs ends.
    drop(connections);
    session.finish().await;
}

/// Which connection a stream belongs to, its port, and what it is of it.
fn identify(id: u32, headers: &Headers) -> Option<(String, u16, Kind)> {
    let kind = match headers.get("streamtype")? {
        "data" => Kind::Data,
        "error" => Kind::Error,
        _ => return None,
    };
    let port = headers.get("port")?.parse().ok().filter(|p| *p != 0)?;
    let request = match headers.get("requestid") {
        Some(request) if !request.is_empty() => request.to_owned(),
        // Clients before Kubernetes 1.3 number nothing, and open the error stream just before the data stream.
        _ => if kind == Kind::Error { id } else { id.checked_sub(2)? }.to_string(),
    };
    Some((request, port, kind))
}

/// Accepts a stream; answers a pair that it completes.
fn add(
    halves: &mut HashMap<String, Half>,
    stream: Incoming,
    request: &PortForwardRequest,
) -> Option<(u16, Opened, Opened)> {
    let Some((name, port, kind)) = identify(stream.id, &stream.headers) else {
        stream.refuse(reset::PROTOCOL_ERROR);
        return None;
    };
    if !request.ports.is_empty() && !request.ports.contains(&port) {
        stream.refuse(reset::REFUSED);
        return None;
    }
    let half =
        halves.entry(name.clone()).or_insert_with(|| Half { data: None, error: None, port, since: Instant::now() });
    let slot = if kind == Kind::Data { &mut half.data } else { &mut half.error };
    if slot.is_some() || half.port != port {
        stream.refuse(reset::PROTOCOL_ERROR);
        return None;
    }
    let id = stream.id;
    let (read, write) = stream.accept();
    *slot = Some(Opened { id, read, write });
    if half.data.is_none() || half.error.is_none() {
        return None;
    }
    let half = halves.remove(&name)?;
    Some((port, half.data?, half.error?))
}

/// Resets streams whose other one does not come.
fn expire(halves: &mut HashMap<String, Half>, resetter: &impl Fn(u32)) {
    for (_, half) in halves.extract_if(|_, half| half.since.elapsed() >= CREATION) {
        half.data.into_iter().chain(half.error).for_each(|stream| resetter(stream.id));
    }
}

/// Carries one connection; its error goes to the error stream.
async fn forward(
    backend: Arc<dyn StreamBackend>,
    sandbox: String,
    port: u16,
    data: Opened,
    error: Opened,
    resetter: impl Fn(u32) + Send,
) {
    let StreamWrite { pipe, mut done } = data.write;
    let duplex = PortDuplex { read: Box::new(data.read), write: Box::new(pipe) };
    let carrying = backend.port_forward(&sandbox, port, duplex);
    tokio::pin!(carrying);
    let outcome: Result<(), StreamError> = tokio::select! {
        outcome = &mut carrying => {
            if outcome.is_ok() {
                // What was written goes out before the FIN of the error stream says that all is well.
                let _ = done.await;
            }
            outcome
        }
        whole = &mut done => match whole {
            // Our direction has ended; the client's may go on.
            Ok(true) => carrying.await,
            // The client has reset the stream.
            _ => return resetter(error.id),
        }
    };
    match outcome {
        Ok(()) => error.write.close_with(b"").await,
        Err(reason) => {
            let message = format!("error forwarding port {port} to pod {sandbox}: {reason}");
            error.write.close_with(message.as_bytes()).await;
            resetter(data.id);
        }
    }
    drop(error.read);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> Headers {
        Headers(pairs.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect())
    }

    #[test]
    fn streams_find_each_other_by_request_id_or_by_number() {
        let of = |id, pairs: &[_]| identify(id, &headers(pairs));
        assert_eq!(
            of(9, &[("streamtype", "data"), ("port", "80"), ("requestid", "3")]),
            Some(("3".into(), 80, Kind::Data))
        );
        assert_eq!(of(5, &[("streamtype", "error"), ("port", "80")]), Some(("5".into(), 80, Kind::Error)));
        assert_eq!(of(7, &[("streamtype", "data"), ("port", "80")]), Some(("5".into(), 80, Kind::Data)));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for pairs in [
            &[("streamtype", "data")][..],
            &[("streamtype", "data"), ("port", "0")],
            &[("streamtype", "x"), ("port", "1")],
            &[("port", "1")],
            &[("streamtype", "data"), ("port", "65536")],
        ] {
            assert_eq!(identify(1, &headers(pairs)), None);
        }
        assert_eq!(identify(1, &headers(&[("streamtype", "data"), ("port", "1")])), None);
    }
}
