//! The files of a pod that every container sees: resolv.conf, hosts, hostname.

use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;

use cofferdam_sandbox::{FILES_DIR, Lease, SandboxFactory, SandboxSpec};

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

/// Room for what containers write into them, beside what is in them at first.
const ROOM: u64 = 64 * 1024;

/// Writes them into a directory of limited size in the pod's own, which is made.
pub(super) async fn write(
    spec: &SandboxSpec,
    lease: Option<&Lease>,
    factory: &dyn SandboxFactory,
) -> Result<(), Error> {
    let hostname = if spec.hostname.is_empty() {
        std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default()
    } else {
        format!("{}\n", spec.hostname)
    };
    let texts = [("resolv.conf", spec.resolv_conf.clone()), ("hosts", hosts(spec, lease)), ("hostname", hostname)];
    let dir = spec.dir.join(FILES_DIR);
    let shown = spec.dir.display();
    let failed = |e: std::io::Error| Error::Internal(format!("pod files in {shown}: {e}"));
    DirBuilder::new().recursive(true).mode(0o700).create(&spec.dir).map_err(failed)?;
    let size = texts.iter().map(|(_, text)| text.len() as u64).sum::<u64>();
    factory.bound_files(&dir, 2 * size + ROOM).await?;
    texts.into_iter().try_for_each(|(name, text)| write_one(&dir.join(name), &text)).map_err(failed)
}

/// Readable for every user of a container, whatever the daemon's umask; on the node nobody gets as far.
fn write_one(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
    file.set_permissions(Permissions::from_mode(0o644))?;
    file.write_all(text.as_bytes())
}
