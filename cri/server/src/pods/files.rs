//! The files of a pod that every container sees: resolv.conf, hosts, hostname.

use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;

use cofferdam_sandbox::{FILES_DIR, Lease, SandboxFactory, SandboxSpec};

use crate::error::Error;

const NODE_HOSTS: &str = "/etc/hosts";
const NODE_HOSTNAME: &str = "/proc/sys/kernel/hostname";

/// The text of /etc/hosts: localhost and the pod itself.
fn hosts(spec: &SandboxSpec, lease: &Lease) -> String {
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
    let hosts = match lease {
        Some(lease) => hosts(spec, lease).into_bytes(),
        // With host network, the node's. A node may do without.
        None => read_node(Path::new(NODE_HOSTS)).await?.unwrap_or_default(),
    };
    let hostname = match spec.hostname.as_str() {
        "" => read_node(Path::new(NODE_HOSTNAME)).await?.unwrap_or_default(),
        name => format!("{name}\n").into_bytes(),
    };
    let texts = [("resolv.conf", spec.resolv_conf.clone().into_bytes()), ("hosts", hosts), ("hostname", hostname)];
    let dir = spec.dir.join(FILES_DIR);
    let shown = spec.dir.display();
    let failed = |e: std::io::Error| Error::Internal(format!("pod files in {shown}: {e}"));
    DirBuilder::new().recursive(true).mode(0o700).create(&spec.dir).map_err(failed)?;
    let size = texts.iter().map(|(_, text)| text.len() as u64).sum::<u64>();
    factory.bound_files(&dir, 2 * size + ROOM).await?;
    texts.into_iter().try_for_each(|(name, text)| write_one(&dir.join(name), &text)).map_err(failed)
}

/// Readable for every user of a container, whatever the daemon's umask; on the node nobody gets as far.
fn write_one(path: &Path, text: &[u8]) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
    file.set_permissions(Permissions::from_mode(0o644))?;
    file.write_all(text)
}

/// A file of the node's, as it is; `None`: there is none. One that cannot be read is an error and not an empty file:
/// the pod would run with names that are not the node's.
async fn read_node(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match tokio::fs::read(path).await {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::Internal(format!("read {} for a pod: {error}", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_that_cannot_be_read_is_an_error_and_an_absent_one_is_none() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read_node(&dir.path().join("absent")).await.unwrap(), None);
        std::fs::write(dir.path().join("latin1"), b"10.0.0.1 caf\xe9\n").unwrap();
        assert_eq!(read_node(&dir.path().join("latin1")).await.unwrap().unwrap(), b"10.0.0.1 caf\xe9\n");
        let error = read_node(dir.path()).await.unwrap_err().to_string();
        assert!(error.contains(&dir.path().display().to_string()), "{error}");
    }
}
