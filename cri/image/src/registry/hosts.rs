//! Where a registry is reached: mirrors by `certs.d/HOST/hosts.toml`, in containerd's format.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::ImageError;

/// One place to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// `https://HOST[:PORT]/v2`, or the path of an `override_path`.
    pub base: String,
    /// `HOST[:PORT]`.
    pub host: String,
    /// Any certificate is good.
    pub skip_verify: bool,
    /// More root certificates, PEM.
    pub ca: Vec<PathBuf>,
    /// Sent with every request.
    pub headers: Vec<(String, String)>,
    /// It may say what a tag means.
    pub resolve: bool,
    /// It is the registry itself, so that its credentials may go there.
    pub own: bool,
}

#[derive(Debug, Default, Deserialize)]
struct HostsFile {
    server: Option<String>,
    #[serde(default)]
    host: toml::Table,
    #[serde(flatten)]
    top: HostOptions,
}

#[derive(Debug, Default, Deserialize)]
struct HostOptions {
    capabilities: Option<Vec<String>>,
    #[serde(default)]
    skip_verify: bool,
    ca: Option<OneOrMany>,
    client: Option<toml::Value>,
    #[serde(default)]
    header: std::collections::BTreeMap<String, OneOrMany>,
    #[serde(default)]
    override_path: bool,
    #[serde(flatten)]
    unknown: toml::Table,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn all(&self) -> &[String] {
        match self {
            OneOrMany::One(one) => std::slice::from_ref(one),
            OneOrMany::Many(many) => many,
        }
    }
}

/// The endpoints of a registry in the order in which they are asked: its mirrors as written, then itself.
pub(crate) fn endpoints(config_path: &Path, registry: &str) -> Result<Vec<Endpoint>, ImageError> {
    // `HOST_PORT_` is containerd's spelling for file systems without colons.
    let names = [registry.to_owned(), registry.replacen(':', "_", 1) + "_", "_default".to_owned()];
    for name in names {
        let path = config_path.join(&name).join("hosts.toml");
        match std::fs::read_to_string(&path) {
            Ok(text) => return parse(&path, &text, registry),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(ImageError::io(path.display(), e)),
        }
    }
    Ok(vec![server(registry)])
}

/// A registry without a file: HTTPS, but HTTP on a loopback address.
fn server(registry: &str) -> Endpoint {
    let host = match registry {
        "docker.io" => "registry-1.docker.io",
        other => other,
    };
    let scheme = if is_loopback(host) { "http" } else { "https" };
    Endpoint {
        base: format!("{scheme}://{host}/v2"),
        host: host.into(),
        skip_verify: false,
        ca: Vec::new(),
        headers: Vec::new(),
        resolve: true,
        own: true,
    }
}

fn is_loopback(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, port)| if port.parse::<u16>().is_ok() { name } else { host });
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

pub(crate) fn parse(path: &Path, text: &str, registry: &str) -> Result<Vec<Endpoint>, ImageError> {
    let bad = |reason: String| ImageError::Invalid(format!("{}: {reason}", path.display()));
    let file: HostsFile = toml::from_str(text).map_err(|e| bad(e.to_string()))?;
    let dir = path.parent().unwrap_or(Path::new("/"));
    let mut endpoints = Vec::new();
    for (url, options) in file.host {
        let options: HostOptions =
            options.try_into().map_err(|e: toml::de::Error| bad(format!("host {url:?}: {e}")))?;
        let can = |what: &str| options.capabilities.as_ref().is_none_or(|all| all.iter().any(|c| c == what));
        let one = endpoint(&url, &options, dir, registry).map_err(|e| bad(format!("host {url:?}: {e}")))?;
        if can("pull") {
            endpoints.push(Endpoint { resolve: can("resolve"), ..one });
        }
    }
    let own = match &file.server {
        Some(url) => endpoint(url, &file.top, dir, registry).map_err(|e| bad(format!("server {url:?}: {e}")))?,
        None => Endpoint { base: server(registry).base, ..endpoint(registry, &file.top, dir, registry).map_err(bad)? },
    };
    if !endpoints.iter().any(|e| e.base == own.base && e.resolve) {
        endpoints.push(own);
    }
    Ok(endpoints)
}

fn endpoint(url: &str, options: &HostOptions, dir: &Path, registry: &str) -> Result<Endpoint, String> {
    if options.client.is_some() {
        return Err("client certificates (client) are not supported".into());
    }
    if let Some(key) = options.unknown.keys().next() {
        return Err(format!("unknown key {key:?}"));
    }
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme @ ("http" | "https"), rest)) => (scheme, rest),
        Some((other, _)) => return Err(format!("scheme {other:?} is neither http nor https")),
        None if is_loopback(url) => ("http", url),
        None => ("https", url),
    };
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let path = path.trim_end_matches('/');
    if host.is_empty() || host.contains(['@', '?', '#']) || path.contains(['?', '#']) {
        return Err("is no URL of a registry".into());
    }
    let mut base = format!("{scheme}://{host}");
    if !path.is_empty() {
        base = format!("{base}/{path}");
    }
    if !options.override_path && !base.ends_with("/v2") {
        base.push_str("/v2");
    }
    let headers =
        options.header.iter().flat_map(|(name, values)| values.all().iter().map(|v| (name.clone(), v.clone())));
    Ok(Endpoint {
        base,
        host: host.into(),
        skip_verify: options.skip_verify,
        ca: options.ca.iter().flat_map(OneOrMany::all).map(|path| dir.join(path)).collect(),
        headers: headers.collect(),
        resolve: true,
        own: host == registry || host == server(registry).host,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Vec<Endpoint>, ImageError> {
        parse(Path::new("/certs/r.example/hosts.toml"), text, "r.example")
    }

    #[test]
    fn mirrors_come_first_as_written_and_the_registry_last() {
        let text = "server = \"https://r.example\"\n[host.\"http://z:5000\"]\ncapabilities = [\"pull\", \"resolve\"]\n\
            [host.\"https://a\"]\ncapabilities = [\"pull\"]\n[host.\"https://push\"]\ncapabilities = [\"push\"]\n";
        let found = of(text).unwrap();
        let hosts: Vec<_> = found.iter().map(|e| (e.base.as_str(), e.resolve, e.own)).collect();
        let wanted =
            [("http://z:5000/v2", true, false), ("https://a/v2", false, false), ("https://r.example/v2", true, true)];
        assert_eq!(hosts, wanted);
    }

    #[test]
    fn a_registry_without_a_file_is_https_unless_it_is_local() {
        let none = Path::new("/nonexistent");
        let base = |registry| endpoints(none, registry).unwrap()[0].base.clone();
        assert_eq!(base("r.example"), "https://r.example/v2");
        assert_eq!(base("127.0.0.1:5000"), "http://127.0.0.1:5000/v2");
        assert_eq!(base("localhost:5000"), "http://localhost:5000/v2");
        assert_eq!(base("docker.io"), "https://registry-1.docker.io/v2");
    }

    #[test]
    fn a_path_is_kept_and_v2_follows_unless_overridden() {
        let found = of("[host.\"http://m/a\"]\n[host.\"http://m/b\"]\noverride_path = true\n").unwrap();
        assert_eq!((found[0].base.as_str(), found[1].base.as_str()), ("http://m/a/v2", "http://m/b"));
    }

    #[test]
    fn what_is_not_supported_or_not_known_is_refused_by_name() {
        assert!(of("[host.\"http://m\"]\nclient = \"x\"\n").unwrap_err().to_string().contains("client"));
        assert!(of("[host.\"http://m\"]\nskip_verfy = true\n").unwrap_err().to_string().contains("skip_verfy"));
        assert!(of("[host.\"ftp://m\"]\n").unwrap_err().to_string().contains("ftp"));
        assert!(of("server = 3").unwrap_err().to_string().contains("hosts.toml"));
    }

    #[test]
    fn certificates_are_found_beside_the_file() {
        let found = of("ca = \"ca.crt\"\n").unwrap();
        assert_eq!(found[0].ca, [PathBuf::from("/certs/r.example/ca.crt")]);
    }
}
