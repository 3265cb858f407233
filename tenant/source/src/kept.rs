//! The last good version of each file, kept on the disk: a restart must not lose what a broken file, or a directory
//! that is gone, no longer tells.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// What is written down.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    /// The directory that the files were read from.
    pub directory: PathBuf,
    /// Name and text of each file whose last good version is in force.
    pub files: BTreeMap<String, String>,
}

/// Reads what was kept of this directory; `None`: nothing was.
///
/// # Errors
/// The file cannot be read, or is none of ours.
pub(crate) fn read(path: &Path, directory: &Path) -> io::Result<Option<State>> {
    let text = match std::fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => text?,
    };
    let state: State = serde_json::from_slice(&text).map_err(io::Error::other)?;
    Ok(Some(state).filter(|state| state.directory == directory))
}

/// Writes it; a crash leaves the old or the new one. Nobody but the owner may read it.
///
/// # Errors
/// It cannot be written.
pub(crate) fn write(path: &Path, state: &State) -> io::Result<()> {
    let part = path.with_extension("part");
    let text = serde_json::to_vec(state).map_err(io::Error::other)?;
    let mut file: File = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(&text)?;
    file.sync_all()?;
    std::fs::rename(part, path)
}
