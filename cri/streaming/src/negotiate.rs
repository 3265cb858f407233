//! Which upgrade and which subprotocol a request asks for, pure.

use http::header::{CONNECTION, UPGRADE};
use http::{HeaderMap, StatusCode};

/// The header that lists a client's subprotocols, best first; the answer names the chosen one.
pub(crate) const PROTOCOL: &str = "x-stream-protocol-version";
/// What a refused client could have asked for.
pub(crate) const ACCEPTED: &str = "x-accepted-stream-protocol-versions";
/// The one protocol to upgrade to.
pub(crate) const SPDY: &str = "SPDY/3.1";
/// The subprotocol of port-forward.
pub(crate) const PORT_FORWARD: &[&str] = &["portforward.k8s.io"];
/// The subprotocols of exec and attach.
pub(crate) const REMOTE: &[&str] = &["v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"];

/// Why a request is not upgraded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("unable to upgrade: this URL serves streams over {SPDY} only, the request asks for no upgrade")]
    NoUpgrade,
    #[error("unable to upgrade: WebSocket is not supported yet, use {SPDY}")]
    WebSocket,
    #[error("unable to upgrade: {0:?} is not supported, use {SPDY}")]
    Other(String),
    #[error("unable to negotiate protocol: client supports {client:?}, server accepts {server:?}")]
    Protocol { client: Vec<String>, server: &'static [&'static str] },
}

impl Refusal {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Refusal::Protocol { .. } => StatusCode::FORBIDDEN,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

/// The chosen subprotocol; `None`: the client names none, which is the oldest.
pub(crate) fn negotiate(headers: &HeaderMap, server: &'static [&'static str]) -> Result<Option<&'static str>, Refusal> {
    let upgrades: Vec<_> = list(headers, UPGRADE.as_str()).map(str::to_ascii_lowercase).collect();
    if !list(headers, CONNECTION.as_str()).any(|v| v.eq_ignore_ascii_case("upgrade")) || upgrades.is_empty() {
        return Err(Refusal::NoUpgrade);
    }
    if !upgrades.iter().any(|u| u.eq_ignore_ascii_case(SPDY)) {
        return Err(match upgrades.iter().any(|u| u == "websocket") {
            true => Refusal::WebSocket,
            false => Refusal::Other(upgrades.join(", ")),
        });
    }
    if !headers.contains_key(PROTOCOL) {
        return Ok(None);
    }
    let client = || list(headers, PROTOCOL);
    match client().find_map(|c| server.iter().find(|s| **s == c)) {
        Some(chosen) => Ok(Some(chosen)),
        None => Err(Refusal::Protocol { client: client().map(str::to_owned).collect(), server }),
    }
}

/// The parts of all values of a header that are separated by commas.
fn list<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).into_iter().filter_map(|v| v.to_str().ok());
    values.flat_map(|v| v.split(',')).map(str::trim).filter(|v| !v.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap())).collect::<Vec<_>>().into_iter().fold(
            HeaderMap::new(),
            |mut map, (name, value): (http::HeaderName, http::HeaderValue)| {
                map.append(name, value);
                map
            },
        )
    }

    const UP: [(&str, &str); 2] = [("connection", "Upgrade"), ("upgrade", "SPDY/3.1")];

    #[test]
    fn the_clients_first_known_protocol_is_chosen() {
        let asks = |more: &[_]| negotiate(&headers(&[&UP[..], more].concat()), REMOTE);
        assert_eq!(asks(&[]), Ok(None));
        assert_eq!(asks(&[(PROTOCOL, "v5.channel.k8s.io, v4.channel.k8s.io")]), Ok(Some("v4.channel.k8s.io")));
        assert_eq!(
            asks(&[(PROTOCOL, "v2.channel.k8s.io"), (PROTOCOL, "v4.channel.k8s.io")]),
            Ok(Some("v2.channel.k8s.io"))
        );
        let refusal = asks(&[(PROTOCOL, "v9.channel.k8s.io")]).unwrap_err();
        assert_eq!(refusal.status(), StatusCode::FORBIDDEN);
    }

    #[test]
    fn what_is_not_spdy_is_refused_by_name() {
        let asks = |pairs: &[_]| negotiate(&headers(pairs), REMOTE).unwrap_err();
        assert_eq!(asks(&[]), Refusal::NoUpgrade);
        assert_eq!(asks(&[("upgrade", "SPDY/3.1")]), Refusal::NoUpgrade);
        assert_eq!(asks(&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")]), Refusal::WebSocket);
        assert_eq!(asks(&[("connection", "upgrade"), ("upgrade", "h2c")]), Refusal::Other("h2c".into()));
    }
}
