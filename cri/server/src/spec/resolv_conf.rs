//! The resolv.conf of a pod.

use std::io::ErrorKind;
use std::path::Path;

use cofferdam_cri_api::v1 as cri;

use super::error::SpecError;

/// The pod's resolv.conf; without a DNS config, the node's.
pub(super) fn resolv_conf(dns: Option<&cri::DnsConfig>) -> Result<String, SpecError> {
    let Some(dns) = dns.filter(|d| !(d.servers.is_empty() && d.searches.is_empty() && d.options.is_empty())) else {
        return of_node(Path::new("/etc/resolv.conf"));
    };
    let words = dns.servers.iter().chain(&dns.searches).chain(&dns.options);
    if let Some(bad) =
        words.into_iter().find(|w| w.is_empty() || w.contains(|c: char| c.is_whitespace() || c.is_control()))
    {
        return Err(SpecError::new("config.dns_config", format!("{bad:?} is not one word")));
    }
    let mut text = String::new();
    if !dns.searches.is_empty() {
        text += &format!("search {}\n", dns.searches.join(" "));
    }
    for server in &dns.servers {
        text += &format!("nameserver {server}\n");
    }
    if !dns.options.is_empty() {
        text += &format!("options {}\n", dns.options.join(" "));
    }
    Ok(text)
}

// A node may have none; one that cannot be read is no reason for a pod without any name server.
fn of_node(path: &Path) -> Result<String, SpecError> {
    match std::fs::read(path) {
        Ok(text) => Ok(String::from_utf8_lossy(&text).into_owned()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(SpecError::new("config.dns_config", format!("the node's {}: {error}", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_the_node_that_cannot_be_read_is_not_an_empty_one() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(of_node(&dir.path().join("absent")).unwrap(), "");
        std::fs::write(dir.path().join("odd"), b"nameserver 10.0.0.1\n# \xff\n").unwrap();
        assert!(of_node(&dir.path().join("odd")).unwrap().starts_with("nameserver 10.0.0.1\n"));
        assert!(of_node(dir.path()).unwrap_err().to_string().contains(&dir.path().display().to_string()));
    }

    #[test]
    fn a_dns_config_becomes_resolv_conf() {
        let dns = cri::DnsConfig {
            servers: vec!["10.0.0.10".into()],
            searches: vec!["a.svc".into(), "svc".into()],
            options: vec!["ndots:5".into()],
        };
        assert_eq!(resolv_conf(Some(&dns)).unwrap(), "search a.svc svc\nnameserver 10.0.0.10\noptions ndots:5\n");
    }

    #[test]
    fn a_line_break_cannot_smuggle_a_server_in() {
        let dns = cri::DnsConfig { servers: vec!["1.1.1.1\nnameserver 2.2.2.2".into()], ..Default::default() };
        assert!(resolv_conf(Some(&dns)).is_err());
    }
}
