//! Mounts of a container: the defaults of every container, the pod's files, those that kubelet asks for, by depth. So
//! a volume at `/etc` or `/dev` leaves the pod's files, terminals and shared memory on top.
//!
//! In a VM the sandbox rewrites sources to guest paths; the list is the same.

use std::path::{Component, Path, PathBuf};

use cofferdam_cri_api::v1 as cri;
use cofferdam_sandbox::NamespaceMode;
use oci_spec::runtime::{LinuxIdMapping, LinuxIdMappingBuilder, Mount, MountBuilder};

use super::error::{SpecError, builder};
use super::inputs::ContainerInputs;

pub(super) fn mounts(
    inputs: &ContainerInputs<'_>,
    security: &cri::LinuxContainerSecurityContext,
) -> Result<Vec<Mount>, SpecError> {
    let asked = &inputs.config.mounts;
    let given = defaults(inputs, security)?.into_iter().chain(pod_files(inputs)?).chain(image_volumes(inputs)?);
    let mut mounts: Vec<Mount> = given.filter(|mount| !replaced(mount.destination(), asked)).collect();
    for (index, mount) in asked.iter().enumerate() {
        mounts.push(volume(index, mount, inputs)?);
    }
    // A mount over a directory must not hide one below it, whoever asks for the two.
    mounts.sort_by_key(|mount| depth(mount.destination()));
    Ok(mounts)
}

/// Whether a mount of every container makes way: to the one that is asked for at its place; and in a volume that shares
/// its mounts with the node, where the node would get it as well.
fn replaced(destination: &Path, asked: &[cri::Mount]) -> bool {
    asked.iter().any(|mount| {
        let path = Path::new(&mount.container_path);
        let shared = mount.propagation() == cri::MountPropagation::PropagationBidirectional;
        destination == path || (shared && destination.starts_with(path))
    })
}

fn depth(path: &Path) -> usize {
    path.components().filter(|part| matches!(part, Component::Normal(_))).count()
}

fn mount(destination: &str, typ: &str, source: impl Into<PathBuf>, options: &[&str]) -> Result<Mount, SpecError> {
    let options: Vec<String> = options.iter().map(|o| o.to_string()).collect();
    MountBuilder::default().destination(destination).typ(typ).source(source).options(options).build().map_err(builder)
}

fn defaults(
    inputs: &ContainerInputs<'_>,
    security: &cri::LinuxContainerSecurityContext,
) -> Result<Vec<Mount>, SpecError> {
    let sys = if security.privileged { "rw" } else { "ro" };
    let shm = match inputs.sandbox.namespaces.ipc {
        NamespaceMode::Node => PathBuf::from("/dev/shm"),
        _ => inputs.pod_dir.join("shm"),
    };
    Ok(vec![
        mount("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"])?,
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"])?,
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        )?,
        mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"])?,
        mount("/dev/shm", "bind", shm, &["rbind", "rw", "nosuid", "nodev", "noexec"])?,
        mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", sys])?,
        mount("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", sys])?,
    ])
}

/// resolv.conf, hosts and hostname of the pod, as the server wrote them.
fn pod_files(inputs: &ContainerInputs<'_>) -> Result<Vec<Mount>, SpecError> {
    let mode = if inputs.security().readonly_rootfs { "ro" } else { "rw" };
    ["resolv.conf", "hosts", "hostname"]
        .into_iter()
        .map(|name| mount(&format!("/etc/{name}"), "bind", inputs.files_dir.join(name), &["rbind", "rprivate", mode]))
        .collect()
}

/// `VOLUME`s of the image: anonymous, with the image's content, gone with the container. Their owners are the image's,
/// so in a user namespace they are mapped like those of the layers.
fn image_volumes(inputs: &ContainerInputs<'_>) -> Result<Vec<Mount>, SpecError> {
    let volume = |(i, path): (usize, &String)| {
        let source = inputs.volume_dir.join(i.to_string());
        let mut mount = mount(path, "bind", source, &["rbind", "rprivate", "rw"])?;
        if let Some(user) = &inputs.sandbox.namespaces.user {
            let ranges = |maps: &[cofferdam_sandbox::IdMap]| -> Result<Vec<LinuxIdMapping>, SpecError> {
                maps.iter().map(|m| id_mapping(m.container, m.host, m.size)).collect()
            };
            mount.set_uid_mappings(Some(ranges(&user.uids)?));
            mount.set_gid_mappings(Some(ranges(&user.gids)?));
        }
        Ok(mount)
    };
    inputs.image.volumes.iter().enumerate().map(volume).collect()
}

fn volume(index: usize, asked: &cri::Mount, inputs: &ContainerInputs<'_>) -> Result<Mount, SpecError> {
    let mut options = vec!["rbind"];
    options.push(match asked.propagation() {
        cri::MountPropagation::PropagationPrivate => "rprivate",
        cri::MountPropagation::PropagationHostToContainer => "rslave",
        cri::MountPropagation::PropagationBidirectional => "rshared",
    });
    options.push(match (asked.readonly, asked.recursive_read_only) {
        (true, true) => "rro",
        (true, false) => "ro",
        (false, _) => "rw",
    });
    let source =
        inputs.sources.get(index).ok_or_else(|| SpecError::new(format!("mounts[{index}]"), "has no source"))?;
    let mut mount = mount(&asked.container_path, "bind", source, &options)?;
    if !asked.uid_mappings.is_empty() || !asked.gid_mappings.is_empty() {
        if !inputs.user_namespace() {
            return Err(SpecError::new(format!("mounts[{index}].uidMappings"), "the pod has no user namespace"));
        }
        mount.set_uid_mappings(Some(id_mappings(&asked.uid_mappings)?));
        mount.set_gid_mappings(Some(id_mappings(&asked.gid_mappings)?));
    }
    Ok(mount)
}

fn id_mappings(mappings: &[cri::IdMapping]) -> Result<Vec<LinuxIdMapping>, SpecError> {
    mappings.iter().map(|m| id_mapping(m.container_id, m.host_id, m.length)).collect()
}

fn id_mapping(container: u32, host: u32, size: u32) -> Result<LinuxIdMapping, SpecError> {
    LinuxIdMappingBuilder::default().container_id(container).host_id(host).size(size).build().map_err(builder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(container_path: &str, propagation: cri::MountPropagation) -> cri::Mount {
        cri::Mount { container_path: container_path.into(), propagation: propagation.into(), ..Default::default() }
    }

    #[test]
    fn a_volume_takes_the_place_of_what_every_container_has_there() {
        let private = |path| [volume(path, cri::MountPropagation::PropagationPrivate)];
        assert!(replaced(Path::new("/dev"), &private("/dev/")));
        assert!(!replaced(Path::new("/dev/pts"), &private("/dev")));
        assert!(!replaced(Path::new("/etc/hosts"), &private("/etc")));
    }

    #[test]
    fn nothing_of_the_pod_is_mounted_where_the_node_would_see_it() {
        let shared = [volume("/dev", cri::MountPropagation::PropagationBidirectional)];
        assert!(replaced(Path::new("/dev/pts"), &shared));
        assert!(!replaced(Path::new("/development"), &shared));
    }

    #[test]
    fn depth_counts_names() {
        assert_eq!(["/", "/etc", "//etc/./", "/etc/hosts"].map(|path| depth(Path::new(path))), [0, 1, 1, 2]);
    }
}
