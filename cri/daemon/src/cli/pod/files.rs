//! Directories and checks of the node's side: logs, emptyDir, hostPath.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::Path;

use super::manifest::{HostPath, HostPathType, PodManifest};
use super::placement::Placement;
use crate::cli::error::CliError;

/// Makes what the pod's messages name.
pub(super) fn make(pod: &PodManifest, placement: &Placement) -> Result<(), CliError> {
    let logs = &placement.log_directory;
    fs::create_dir_all(logs).map_err(CliError::io(logs))?;
    for volume in &pod.spec.volumes {
        match &volume.host_path {
            Some(host) => host_path(host)?,
            None => {
                let dir = placement.empty_dir(&volume.name);
                fs::create_dir_all(&dir).map_err(CliError::io(&dir))?;
                // As kubelet's: the containers may run as anybody.
                fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).map_err(CliError::io(&dir))?;
            }
        }
    }
    Ok(())
}

/// Removes what belongs to the pod alone: the data of its emptyDir volumes, which may be as deep as a tenant likes, and
/// its logs.
pub(super) fn remove(log_directory: &Path, directory: &Path) -> Result<(), CliError> {
    for path in [log_directory, directory] {
        cofferdam_tree::remove(path).map_err(CliError::io(path))?;
    }
    Ok(())
}

fn host_path(host: &HostPath) -> Result<(), CliError> {
    let path = Path::new(&host.path);
    match host.r#type {
        HostPathType::DirectoryOrCreate => fs::create_dir_all(path).map_err(CliError::io(path))?,
        HostPathType::FileOrCreate => {
            let open = OpenOptions::new().create(true).append(true).open(path);
            drop(open.map_err(CliError::io(path))?);
        }
        _ => {}
    }
    let kind = match fs::metadata(path) {
        // With no type, the daemon makes a missing directory.
        Err(_) if host.r#type == HostPathType::Any => return Ok(()),
        metadata => metadata.map_err(CliError::io(path))?.file_type(),
    };
    let fits = match host.r#type {
        HostPathType::Any => true,
        HostPathType::Directory | HostPathType::DirectoryOrCreate => kind.is_dir(),
        HostPathType::File | HostPathType::FileOrCreate => kind.is_file(),
        HostPathType::Socket => kind.is_socket(),
        HostPathType::CharDevice => kind.is_char_device(),
        HostPathType::BlockDevice => kind.is_block_device(),
    };
    if fits { Ok(()) } else { Err(CliError::Other(format!("hostPath {}: is no {:?}", host.path, host.r#type))) }
}

#[cfg(test)]
mod tests {
    use super::super::parse_pod;
    use super::*;

    fn pod(volume: &str) -> PodManifest {
        let spec = format!("{{volumes: [{{name: v, {volume}}}], containers: [{{name: c, image: i}}]}}");
        parse_pod("f", 1, &format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: a}}\nspec: {spec}")).unwrap()
    }

    #[test]
    fn directories_are_made_and_removed_again() {
        let dir = tempfile::tempdir().unwrap();
        let at = Placement {
            uid: "u".into(),
            log_directory: dir.path().join("logs/a"),
            directory: dir.path().join("pods/u"),
            first_host_id: None,
            node_memory: 0,
        };
        make(&pod("emptyDir: {}"), &at).unwrap();
        let mode = fs::metadata(at.empty_dir("v")).unwrap().permissions().mode();
        assert!(at.log_directory.is_dir() && mode & 0o777 == 0o777);
        remove(&at.log_directory, &at.directory).unwrap();
        remove(&at.log_directory, &at.directory).unwrap();
        assert!(!at.directory.exists() && !at.log_directory.exists());
    }

    #[test]
    fn a_host_path_must_be_of_its_type() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        let host = |kind: &str| {
            let pod = pod(&format!("hostPath: {{path: {}, type: {kind}}}", file.display()));
            host_path(pod.spec.volumes[0].host_path.as_ref().unwrap())
        };
        host("\"\"").unwrap();
        assert!(host("File").unwrap_err().to_string().contains("No such file"));
        host("FileOrCreate").unwrap();
        host("File").unwrap();
        assert!(host("Directory").unwrap_err().to_string().ends_with("is no Directory"));
    }
}
