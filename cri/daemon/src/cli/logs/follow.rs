//! Following a log: woken by inotify, over rotations, until the container has ended and all of it is read.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use cofferdam_cri_api::v1::ContainerState;
use notify::{RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

use super::line::Line;
use crate::cli::connect::Clients;
use crate::cli::error::CliError;
use crate::cli::target::container_status;

/// How often the container is looked at while it writes nothing: its end changes no file.
const QUIET: Duration = Duration::from_millis(500);

/// Writes what comes after `reader`'s place; `begun` is a line without its end.
pub async fn follow(
    clients: &mut Clients,
    id: &str,
    path: &Path,
    mut reader: BufReader<File>,
    mut begun: Vec<u8>,
) -> Result<(), CliError> {
    let failed = |e: notify::Error| CliError::Other(format!("follow {}: {e}", path.display()));
    let (wake, mut woken) = mpsc::channel(1);
    // A full channel means that a wake-up is on its way already.
    let mut watcher = notify::recommended_watcher(move |_| _ = wake.try_send(())).map_err(failed)?;
    // The directory: a rotated log is another file.
    watcher.watch(path.parent().unwrap_or(path), RecursiveMode::NonRecursive).map_err(failed)?;
    loop {
        // Asked before reading: whatever was written before the end is then read.
        let ended = ended(clients, id).await?;
        drain(path, &mut reader, &mut begun)?;
        if let Some(next) = rotated(path, &reader)? {
            drain(path, &mut reader, &mut begun)?;
            reader = next;
            continue;
        }
        if ended {
            if !begun.is_empty() {
                Line::parse(&begun).write()?;
            }
            return Ok(());
        }
        let _ = tokio::time::timeout(QUIET, woken.recv()).await;
    }
}

async fn ended(clients: &mut Clients, id: &str) -> Result<bool, CliError> {
    match container_status(clients, id).await {
        Ok(status) => {
            Ok(!matches!(status.state(), ContainerState::ContainerRunning | ContainerState::ContainerCreated))
        }
        Err(CliError::Rpc { status, .. }) if status.code() == tonic::Code::NotFound => Ok(true),
        // The log goes on without the daemon, and so does who follows it.
        Err(CliError::Rpc { status, .. }) if status.code() == tonic::Code::Unavailable => Ok(false),
        Err(error) => Err(error),
    }
}

fn drain(path: &Path, reader: &mut BufReader<File>, begun: &mut Vec<u8>) -> Result<(), CliError> {
    while reader.read_until(b'\n', begun).map_err(CliError::io(path))? > 0 && begun.ends_with(b"\n") {
        Line::parse(begun).write()?;
        begun.clear();
    }
    Ok(())
}

/// The file that has taken the place of the one being read.
fn rotated(path: &Path, reader: &BufReader<File>) -> Result<Option<BufReader<File>>, CliError> {
    let own = reader.get_ref().metadata().map_err(CliError::io(path))?;
    match File::open(path) {
        Ok(file) => {
            let other = file.metadata().map_err(CliError::io(path))?;
            Ok(((own.dev(), own.ino()) != (other.dev(), other.ino())).then(|| BufReader::new(file)))
        }
        // Between two files of a rotation, or removed with its pod.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(CliError::io(path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_was_rotated_is_another_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.log");
        std::fs::write(&path, "").unwrap();
        let reader = BufReader::new(File::open(&path).unwrap());
        assert!(rotated(&path, &reader).unwrap().is_none());
        std::fs::rename(&path, dir.path().join("c.log.1")).unwrap();
        assert!(rotated(&path, &reader).unwrap().is_none());
        std::fs::write(&path, "t stdout F new\n").unwrap();
        assert!(rotated(&path, &reader).unwrap().is_some());
    }

    #[test]
    fn a_line_without_its_end_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.log");
        std::fs::write(&path, "t stdout F a\nt stdout F b").unwrap();
        let (mut reader, mut begun) = (BufReader::new(File::open(&path).unwrap()), Vec::new());
        drain(&path, &mut reader, &mut begun).unwrap();
        assert_eq!(begun, b"t stdout F b");
    }
}
