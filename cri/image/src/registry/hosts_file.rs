//! `hosts.toml`, in containerd's format: every key that containerd 2.4 has, and no other.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::place::{Endpoint, Tls, is_loopback, port, server};
use crate::ImageError;

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
    #[serde(default)]
    capabilities: Vec<String>,
    skip_verify: Option<bool>,
    ca: Option<OneOrMany>,
    client: Option<Client>,
    #[serde(default)]
    header: std::collections::BTreeMap<String, OneOrMany>,
    #[serde(default)]
    override_path: bool,
    dial_timeout: Option<String>,
    #[serde(flatten)]
    unknown: toml::Table,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// `"both.pem"`, `["both.pem", ...]` or `[["cert.pem", "key.pem"], ...]`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Client {
    One(String),
    Many(Vec<Pair>),
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Pair {
    Both(String),
    Apart([String; 2]),
}

impl OneOrMany {
    fn all(&self) -> &[String] {
        match self {
            OneOrMany::One(one) => std::slice::from_ref(one),
            OneOrMany::Many(many) => many,
        }
    }
}

impl HostOptions {
    /// What it can do; nothing written means everything.
    fn can(&self, what: &str) -> bool {
        self.capabilities.is_empty() || self.capabilities.iter().any(|c| c.eq_ignore_ascii_case(what))
    }

    fn check(&self) -> Result<(), String> {
        if let Some(key) = self.unknown.keys().next() {
            return Err(format!("unknown key {key:?}"));
        }
        let known = ["pull", "resolve", "push", "referrers"];
        match self.capabilities.iter().find(|c| !known.iter().any(|k| c.eq_ignore_ascii_case(k))) {
            Some(other) => Err(format!("unknown capability {other:?}")),
            None => Ok(()),
        }
    }

    fn tls(&self, dir: &Path) -> Tls {
        let path = |name: &String| dir.join(name);
        let pair = |pair: &Pair| match pair {
            Pair::Both(file) => (path(file), None),
            Pair::Apart([certificate, key]) => (path(certificate), Some(path(key))),
        };
        let client: Vec<(PathBuf, Option<PathBuf>)> = match &self.client {
            None => Vec::new(),
            Some(Client::One(file)) => vec![(path(file), None)],
            Some(Client::Many(pairs)) => pairs.iter().map(pair).collect(),
        };
        let ca = self.ca.iter().flat_map(OneOrMany::all).map(path).collect();
        Tls { skip_verify: self.skip_verify.unwrap_or_default(), ca, client }
    }

    /// Something is said about TLS.
    fn has_tls(&self) -> bool {
        self.skip_verify.is_some() || self.ca.is_some() || self.client.is_some()
    }
}

/// The endpoints in the order in which they are asked: mirrors as written, then the registry itself.
pub(crate) fn parse(path: &Path, text: &str, registry: &str) -> Result<Vec<Endpoint>, ImageError> {
    let bad = |reason: String| ImageError::Invalid(format!("{}: {reason}", path.display()));
    let file: HostsFile = toml::from_str(text).map_err(|e| bad(e.to_string()))?;
    let dir = path.parent().unwrap_or(Path::new("/"));
    let mut endpoints = Vec::new();
    for (url, options) in file.host {
        let options: HostOptions =
            options.try_into().map_err(|e: toml::de::Error| bad(format!("host {url:?}: {e}")))?;
        let one = endpoint(&url, &options, dir, registry).map_err(|e| bad(format!("host {url:?}: {e}")))?;
        if options.can("pull") {
            endpoints.push(one);
        }
    }
    let named = file.server.as_deref().filter(|server| !server.is_empty());
    let own = match named {
        Some(url) => endpoint(url, &file.top, dir, registry).map_err(|e| bad(format!("server {url:?}: {e}")))?,
        None => unnamed(&file.top, dir, registry).map_err(bad)?,
    };
    if file.top.can("pull") && !endpoints.iter().any(|e| e.base == own.base && e.resolve) {
        endpoints.push(own);
    }
    Ok(endpoints)
}

/// The registry itself where the file does not say how it is reached.
fn unnamed(options: &HostOptions, dir: &Path, registry: &str) -> Result<Endpoint, String> {
    let usual = server(registry);
    let given = endpoint(&usual.host, options, dir, registry)?;
    let tls = if options.has_tls() { given.tls } else { usual.tls };
    let (base, other) = match usual.other {
        Some(https) if options.has_tls() => (https, Some(usual.base)),
        other => (usual.base, other),
    };
    Ok(Endpoint { base, other, tls, ..given })
}

fn endpoint(url: &str, options: &HostOptions, dir: &Path, registry: &str) -> Result<Endpoint, String> {
    options.check()?;
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme @ ("http" | "https"), rest)) => (scheme, rest),
        Some((other, _)) => return Err(format!("scheme {other:?} is neither http nor https")),
        None if is_loopback(url.split('/').next().unwrap_or_default()) => ("http", url),
        None => ("https", url),
    };
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let path = path.trim_end_matches('/');
    if host.is_empty() || host.contains(['@', '?', '#']) || path.contains(['?', '#']) {
        return Err("is no URL of a registry".into());
    }
    let mut tail = if path.is_empty() { host.to_owned() } else { format!("{host}/{path}") };
    if !options.override_path && path != "v2" && !path.ends_with("/v2") {
        tail.push_str("/v2");
    }
    // Certificates for a plain address: it is tried with them first.
    let both = scheme == "http" && options.has_tls() && port(host) != Some("80");
    let (plain, secure) = (format!("http://{tail}"), format!("https://{tail}"));
    let (base, other) = match (both, scheme) {
        (true, _) => (secure, Some(plain)),
        (false, "http") => (plain, None),
        _ => (secure, None),
    };
    let headers =
        options.header.iter().flat_map(|(name, values)| values.all().iter().map(|v| (name.clone(), v.clone())));
    let dial_timeout = options.dial_timeout.as_deref().filter(|text| !text.is_empty());
    Ok(Endpoint {
        base,
        other,
        host: host.into(),
        tls: options.tls(dir),
        dial_timeout: dial_timeout.map(duration).transpose()?,
        headers: headers.collect(),
        resolve: options.can("resolve"),
        own: host == registry || host == server(registry).host,
    })
}

/// Go's spelling: `1m30s`, `1.5s`, `500ms`.
fn duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("dial_timeout {text:?} is no duration such as \"30s\"");
    let (mut rest, mut seconds) = (text, 0.0);
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
        let (number, after) = rest.split_at(end);
        let unit = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        let factor = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return Err(bad()),
        };
        seconds += number.parse::<f64>().map_err(|_| bad())? * factor;
        rest = after;
    }
    Duration::try_from_secs_f64(seconds).ok().filter(|d| !d.is_zero()).ok_or_else(bad)
}

#[cfg(test)]
#[path = "hosts_file_tests.rs"]
mod tests;
