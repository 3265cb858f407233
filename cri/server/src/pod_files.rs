//! The files of a pod that every container sees: resolv.conf, hosts, hostname.

use cofferdam_cri_api::v1 as cri;
use cofferdam_sandbox::{Lease, SandboxSpec};

use crate::Error;

/// The pod's resolv.conf; without a DNS config, the node's.
pub(crate) fn resolv_conf(dns: Option<&cri::DnsConfig>) -> Result<String, Error> {
    let Some(dns) = dns.filter(|d| !(d.servers.is_empty() && d.searches.is_empty() && d.options.is_empty())) else {
        return Ok(std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default());
    };
    let words = dns.servers.iter().chain(&dns.searches).chain(&dns.options);
    if let Some(bad) =
        words.into_iter().find(|w| w.is_empty() || w.contains(|c: char| c.is_whitespace() || c.is_control()))
    {
        return Err(Error::Invalid(format!("config.dns_config: {bad:?} is not one word")));
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

/// hosts of the pod: localhost and the pod itself; with host network, the node's.
fn hosts(spec: &SandboxSpec, lease: Option<&Lease>) -> String {
    let Some(lease) = lease else {
        return std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    };
    let mut text = String::from("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n");
    for address in &lease.addresses {
        text += &format!("{address}\t{}\n", spec.hostname);
    }
    text
}

/// Writes them into the pod's directory.
pub(crate) async fn write(spec: &SandboxSpec, lease: Option<&Lease>) -> Result<(), Error> {
    let hostname = if spec.hostname.is_empty() {
        std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default()
    } else {
        format!("{}\n", spec.hostname)
    };
    let failed = |e: std::io::Error| Error::Internal(format!("pod files in {}: {e}", spec.dir.display()));
    tokio::fs::create_dir_all(&spec.dir).await.map_err(failed)?;
    for (name, text) in
        [("resolv.conf", spec.resolv_conf.clone()), ("hosts", hosts(spec, lease)), ("hostname", hostname)]
    {
        tokio::fs::write(spec.dir.join(name), text).await.map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

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
