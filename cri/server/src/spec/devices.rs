//! Devices of a container beyond the standard ones (null, zero, full, random, urandom, tty, ptmx), which the runner
//! makes.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use cofferdam_cri_api::v1 as cri;
use oci_spec::runtime::{
    LinuxDevice, LinuxDeviceBuilder, LinuxDeviceCgroup, LinuxDeviceCgroupBuilder, LinuxDeviceType,
};

use super::error::{SpecError, builder};

/// Nodes to make and rules to allow them.
#[derive(Default)]
pub(super) struct Devices {
    pub nodes: Vec<LinuxDevice>,
    pub rules: Vec<LinuxDeviceCgroup>,
}

/// The devices a container asks for; a privileged one has all of the node's. In a VM the node's are not there to be
/// had: a privileged container may use whatever its guest has.
pub(super) fn devices(config: &cri::ContainerConfig, privileged: bool, vm: bool) -> Result<Devices, SpecError> {
    let mut devices = Devices::default();
    if privileged {
        devices.rules.push(LinuxDeviceCgroupBuilder::default().allow(true).access("rwm").build().map_err(builder)?);
        let nodes = if vm { Vec::new() } else { nodes_below(Path::new("/dev")) };
        // What a volume has there is what its owner wants there.
        let covered = |path: &Path| config.mounts.iter().any(|mount| path.starts_with(&mount.container_path));
        for path in nodes.into_iter().filter(|path| !covered(path)) {
            devices.nodes.extend(node(&path, &path)?);
        }
    }
    for (index, device) in config.devices.iter().enumerate() {
        let field = || format!("devices[{index}]");
        if device.permissions.is_empty() || device.permissions.chars().any(|c| !"rwm".contains(c)) {
            return Err(SpecError::new(
                field() + ".permissions",
                format!("{:?} is not made of r, w and m", device.permissions),
            ));
        }
        let host = Path::new(&device.host_path);
        let found = if host.is_dir() { nodes_below(host) } else { vec![host.to_owned()] };
        for path in found {
            let inside = match path.strip_prefix(host) {
                Ok(rest) if !rest.as_os_str().is_empty() => Path::new(&device.container_path).join(rest),
                _ => PathBuf::from(&device.container_path),
            };
            let Some(node) = node(&path, &inside)? else {
                return Err(SpecError::new(field() + ".host_path", format!("{} is not a device", path.display())));
            };
            let rule =
                LinuxDeviceCgroupBuilder::default().allow(true).typ(node.typ()).major(node.major()).minor(node.minor());
            devices.rules.push(rule.access(device.permissions.clone()).build().map_err(builder)?);
            // One that a privileged container has anyway, unless it wants another one there.
            devices.nodes.retain(|other| other.path() != node.path());
            devices.nodes.push(node);
        }
    }
    Ok(devices)
}

fn node(host: &Path, inside: &Path) -> Result<Option<LinuxDevice>, SpecError> {
    let metadata =
        fs::metadata(host).map_err(|e| SpecError::new("devices.host_path", format!("{}: {e}", host.display())))?;
    let typ = match metadata.file_type() {
        t if t.is_char_device() => LinuxDeviceType::C,
        t if t.is_block_device() => LinuxDeviceType::B,
        _ => return Ok(None),
    };
    let rdev = metadata.rdev();
    LinuxDeviceBuilder::default()
        .path(inside)
        .typ(typ)
        .major(i64::from(rustix::fs::major(rdev)))
        .minor(i64::from(rustix::fs::minor(rdev)))
        .file_mode(metadata.mode() & 0o777)
        .uid(metadata.uid())
        .gid(metadata.gid())
        .build()
        .map(Some)
        .map_err(builder)
}

/// Device nodes below a directory; pts, shm, mqueue and fd are each container's own.
fn nodes_below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(dir) else { return found };
    for entry in entries.flatten() {
        let (path, Ok(kind)) = (entry.path(), entry.file_type()) else { continue };
        let name = entry.file_name();
        if kind.is_dir() && !["pts", "shm", "mqueue", "fd"].iter().any(|own| name == *own) {
            found.extend(nodes_below(&path));
        } else if (kind.is_char_device() || kind.is_block_device()) && name != "console" && name != "ptmx" {
            found.push(path);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_privileged_container_has_the_nodes_devices_except_in_a_vm() {
        let of = |vm| devices(&cri::ContainerConfig::default(), true, vm).unwrap();
        assert!(of(false).nodes.iter().any(|node| node.path() == Path::new("/dev/null")));
        assert!(of(true).nodes.is_empty());
        assert_eq!(of(true).rules, of(false).rules);
    }

    #[test]
    fn a_device_that_a_privileged_container_asks_for_is_where_it_asks_for_it() {
        let device = |inside: &str| cri::Device {
            container_path: inside.into(),
            host_path: "/dev/null".into(),
            permissions: "rw".into(),
        };
        let asked = vec![device("/dev/mine"), device("/dev/zero")];
        let config = cri::ContainerConfig { devices: asked, ..Default::default() };
        let nodes = devices(&config, true, false).unwrap().nodes;
        let at =
            |path: &str| nodes.iter().filter(|n| n.path() == Path::new(path)).map(|n| n.minor()).collect::<Vec<_>>();
        assert_eq!((at("/dev/mine"), at("/dev/zero")), (vec![3], vec![3]));
        // A VM refuses them by name, so they have to be told to it.
        assert_eq!(devices(&config, true, true).unwrap().nodes.len(), 2);
    }

    #[test]
    fn a_volume_stays_as_it_is_under_a_privileged_container() {
        let volume = cri::Mount { container_path: "/dev".into(), ..Default::default() };
        let config = cri::ContainerConfig { mounts: vec![volume], ..Default::default() };
        assert!(devices(&config, true, false).unwrap().nodes.is_empty());
    }

    #[test]
    fn permissions_and_what_is_no_device_are_refused_by_field() {
        let refused = |host: &str, permissions: &str| {
            let device = cri::Device {
                container_path: "/dev/x".into(),
                host_path: host.into(),
                permissions: permissions.into(),
            };
            let config = cri::ContainerConfig { devices: vec![device], ..Default::default() };
            devices(&config, false, false).err().unwrap().to_string()
        };
        assert!(refused("/dev/null", "x").contains("devices[0].permissions"));
        assert!(refused("/etc/passwd", "r").contains("devices[0].host_path"));
    }
}
