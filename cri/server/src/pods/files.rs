//! The files of a pod that every container sees: resolv.conf, hosts, hostname.

use cofferdam_sandbox::{Lease, SandboxSpec};

use crate::error::Error;

/// The text of /etc/hosts: localhost and the pod itself; with host network, the node's.
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

/// Writes them into the pod's directory, which is made.
pub(super) async fn write(spec: &SandboxSpec, lease: Option<&Lease>) -> Result<(), Error> {
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
