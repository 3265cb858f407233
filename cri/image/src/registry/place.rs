//! One place where a registry is asked.

use std::path::PathBuf;
use std::time::Duration;

/// One place to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// `https://HOST[:PORT]/v2`, or the path of an `override_path`.
    pub base: String,
    /// The same by the other scheme, where only trying tells which it is.
    pub other: Option<String>,
    /// `HOST[:PORT]`.
    pub host: String,
    /// Who is trusted, and who one is.
    pub tls: Tls,
    /// The longest wait for a connection; none: the usual.
    pub dial_timeout: Option<Duration>,
    /// Sent with every request.
    pub headers: Vec<(String, String)>,
    /// It may say what a tag means.
    pub resolve: bool,
    /// It is the registry itself, so that its credentials may go there.
    pub own: bool,
}

/// Certificates, in files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tls {
    /// Any certificate is good.
    pub skip_verify: bool,
    /// More root certificates, PEM.
    pub ca: Vec<PathBuf>,
    /// Client certificates, and their keys where these have a file of their own.
    pub client: Vec<(PathBuf, Option<PathBuf>)>,
}

/// A registry of which nothing is known: HTTPS; on this machine HTTP, or else HTTPS with any certificate.
pub(crate) fn server(registry: &str) -> Endpoint {
    let host = match registry {
        "docker.io" => "registry-1.docker.io",
        other => other,
    };
    let url = |scheme: &str| format!("{scheme}://{host}/v2");
    let (base, other) = match (is_loopback(host), port(host)) {
        (false, _) | (true, None | Some("443")) => (url("https"), None),
        (true, Some("80")) => (url("http"), None),
        (true, _) => (url("http"), Some(url("https"))),
    };
    let tls = Tls { skip_verify: is_loopback(host), ..Tls::default() };
    Endpoint { base, other, host: host.into(), tls, dial_timeout: None, headers: Vec::new(), resolve: true, own: true }
}

/// Names this machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    let name = port(host).map_or(host, |port| &host[..host.len() - port.len() - 1]);
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// The port of `HOST[:PORT]`.
pub(crate) fn port(host: &str) -> Option<&str> {
    let (name, port) = host.rsplit_once(':')?;
    let whole = !name.contains(':') || name.ends_with(']');
    (whole && port.parse::<u16>().is_ok()).then_some(port)
}
