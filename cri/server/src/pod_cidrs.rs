//! The pod CIDRs of UpdateRuntimeConfig, kept in STATE: kubelet sends them once, not again to a restarted daemon. After
//! a reboot they are gone, and kubelet, started anew, sends them.

use std::fs::{OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use ipnetwork::IpNetwork;

/// The file, below STATE.
const FILE: &str = "pod-cidrs";

/// Writes them down; a crash leaves the old or the new ones.
pub(crate) fn save(state: &Path, cidrs: &[IpNetwork]) -> io::Result<()> {
    let (path, part) = (state.join(FILE), state.join(format!("{FILE}.part")));
    let lines: String = cidrs.iter().map(|cidr| format!("{cidr}\n")).collect();
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(lines.as_bytes())?;
    std::fs::rename(part, path)
}

/// Those that an earlier daemon of this boot was told; `None`: none were.
///
/// # Errors
/// The file is not readable, or is not what `save` writes.
pub fn kept_pod_cidrs(state: &Path) -> io::Result<Option<Vec<IpNetwork>>> {
    let path = state.join(FILE);
    let text = match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => text?,
    };
    let wrong = |e: ipnetwork::IpNetworkError| io::Error::other(format!("{}: {e}", path.display()));
    text.lines().map(|line| line.parse().map_err(wrong)).collect::<io::Result<_>>().map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_daemon_finds_what_kubelet_told_the_old_one() {
        let state = std::env::temp_dir().join(format!("cofferdam-pod-cidrs-{}", std::process::id()));
        std::fs::create_dir_all(&state).unwrap();
        assert_eq!(kept_pod_cidrs(&state).unwrap(), None);
        let cidrs: Vec<IpNetwork> = vec!["10.1.0.0/24".parse().unwrap(), "fd01::/64".parse().unwrap()];
        save(&state, &cidrs).unwrap();
        assert_eq!(kept_pod_cidrs(&state).unwrap(), Some(cidrs));
        std::fs::write(state.join(FILE), "10.1.0.0/24\nx\n").unwrap();
        assert!(kept_pod_cidrs(&state).unwrap_err().to_string().contains(FILE));
        std::fs::remove_dir_all(&state).unwrap();
    }
}
