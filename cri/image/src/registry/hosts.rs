//! Where a registry is reached: `certs.d/HOST/hosts.toml`, or Docker's certificate files in the same place.

use std::path::{Path, PathBuf};

use super::hosts_file;
use super::place::{Endpoint, Tls, server};
use crate::ImageError;

/// The endpoints of a registry in the order in which they are asked. Blocking.
pub(crate) fn endpoints(config_path: &Path, registry: &str) -> Result<Vec<Endpoint>, ImageError> {
    // `HOST_PORT_` is for file systems without colons.
    let other = registry.rsplit_once(':').map(|(host, port)| format!("{host}_{port}_"));
    let names = other.into_iter().chain([registry.to_owned(), "_default".to_owned()]);
    // The first directory that is there is the one that counts.
    let Some(dir) = names.map(|name| config_path.join(name)).find(|dir| dir.is_dir()) else {
        return Ok(vec![server(registry)]);
    };
    let path = dir.join("hosts.toml");
    match std::fs::read_to_string(&path) {
        Ok(text) if !text.is_empty() => hosts_file::parse(&path, &text, registry),
        Ok(_) => certificates(&dir, registry),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => certificates(&dir, registry),
        Err(e) => Err(ImageError::io(path.display(), e)),
    }
}

/// `*.crt` are root certificates, `*.cert` client certificates with their keys in `*.key`.
fn certificates(dir: &Path, registry: &str) -> Result<Vec<Endpoint>, ImageError> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>())
        .map_err(|e| ImageError::io(dir.display(), e))?;
    files.sort();
    let with = |ending: &str| {
        let ends = move |path: &&PathBuf| path.extension().is_some_and(|e| e == ending);
        files.iter().filter(ends).cloned().collect::<Vec<_>>()
    };
    let client = with("cert").into_iter().map(|path| {
        let key = path.with_extension("key");
        let key = key.exists().then_some(key);
        (path, key)
    });
    let tls = Tls { skip_verify: false, ca: with("crt"), client: client.collect() };
    let usual = server(registry);
    if tls == Tls::default() {
        return Ok(vec![usual]);
    }
    // Certificates are there for TLS.
    let (base, other) = match usual.other {
        Some(https) => (https, Some(usual.base)),
        None => (usual.base, None),
    };
    Ok(vec![Endpoint { base, other, tls, ..usual }])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_without_a_file_is_https_unless_it_is_local() {
        let none = Path::new("/nonexistent");
        let base = |registry| endpoints(none, registry).unwrap()[0].base.clone();
        assert_eq!(base("r.example"), "https://r.example/v2");
        assert_eq!(base("r.example:80"), "https://r.example:80/v2");
        assert_eq!(base("127.0.0.1:5000"), "http://127.0.0.1:5000/v2");
        assert_eq!(base("[::1]:5000"), "http://[::1]:5000/v2");
        assert_eq!(base("localhost:5000"), "http://localhost:5000/v2");
        assert_eq!(base("localhost"), "https://localhost/v2");
        assert_eq!(base("docker.io"), "https://registry-1.docker.io/v2");
    }

    #[test]
    fn certificates_are_taken_as_docker_lays_them_out() {
        let dir = tempfile::tempdir().unwrap();
        let host = dir.path().join("localhost_5000_");
        std::fs::create_dir(&host).unwrap();
        let found = || endpoints(dir.path(), "localhost:5000").unwrap().remove(0);
        assert_eq!(found(), server("localhost:5000"));
        for name in ["ca.crt", "me.cert", "me.key", "both.cert", "README"] {
            std::fs::write(host.join(name), "").unwrap();
        }
        let found = found();
        assert_eq!(found.base, "https://localhost:5000/v2");
        assert_eq!(found.other.as_deref(), Some("http://localhost:5000/v2"));
        assert_eq!(found.tls.ca, [host.join("ca.crt")]);
        let client = [(host.join("both.cert"), None), (host.join("me.cert"), Some(host.join("me.key")))];
        assert_eq!(found.tls.client, client);
        assert!(!found.tls.skip_verify);
    }

    #[test]
    fn a_directory_of_the_registry_counts_before_the_default_one() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("_default")).unwrap();
        std::fs::write(dir.path().join("_default/hosts.toml"), "[host.\"https://mirror\"]\n").unwrap();
        assert_eq!(endpoints(dir.path(), "r.example").unwrap()[0].base, "https://mirror/v2");
        std::fs::create_dir(dir.path().join("r.example")).unwrap();
        assert_eq!(endpoints(dir.path(), "r.example").unwrap()[0].base, "https://r.example/v2");
    }
}
