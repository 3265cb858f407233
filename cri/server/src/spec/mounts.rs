//! Mounts of a container: the defaults of every container, the pod's files, then those that kubelet asks for.
//!
//! In a VM the sandbox rewrites sources to guest paths; the list is the same.

use std::path::{Path, PathBuf};

use cofferdam_cri_api::v1 as cri;
use cofferdam_sandbox::NamespaceMode;
use oci_spec::runtime::{LinuxIdMapping, LinuxIdMappingBuilder, Mount, MountBuilder};

use super::error::{SpecError, builder};
use super::inputs::ContainerInputs;

pub(super) fn mounts(
    inputs: &ContainerInputs<'_>,
    security: &cri::LinuxContainerSecurityContext,
) -> Result<Vec<Mount>, SpecError> {
    let asked: Vec<&Path> = inputs.config.mounts.iter().map(|m| Path::new(m.container_path.as_str())).collect();
    let wanted = |path: &str| asked.contains(&Path::new(path));
    let mut mounts = Vec::new();
    for mount in defaults(inputs, security)?.into_iter().chain(pod_files(inputs)?).chain(image_volumes(inputs)?) {
        if !wanted(&mount.destination().to_string_lossy()) {
            mounts.push(mount);
        }
    }
    // A mount over a parent must not hide one below it, whatever order kubelet lists them in.
    let mut volumes = inputs.config.mounts.iter().enumerate().collect::<Vec<_>>();
    volumes.sort_by_key(|(_, m)| Path::new(&m.container_path).components().count());
    for (index, mount) in volumes {
        mounts.push(volume(index, mount, inputs)?);
    }
    Ok(mounts)
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
        .map(|name| mount(&format!("/etc/{name}"), "bind", inputs.pod_dir.join(name), &["rbind", "rprivate", mode]))
        .collect()
}

/// `VOLUME`s of the image: anonymous, empty, gone with the container.
fn image_volumes(inputs: &ContainerInputs<'_>) -> Result<Vec<Mount>, SpecError> {
    let volumes = inputs.image.volumes.iter().enumerate();
    volumes
        .map(|(i, path)| mount(path, "bind", inputs.volume_dir.join(i.to_string()), &["rbind", "rprivate", "rw"]))
        .collect()
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
    let mut mount = mount(&asked.container_path, "bind", &asked.host_path, &options)?;
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
    let one = |m: &cri::IdMapping| {
        LinuxIdMappingBuilder::default()
            .container_id(m.container_id)
            .host_id(m.host_id)
            .size(m.length)
            .build()
            .map_err(builder)
    };
    mappings.iter().map(one).collect()
}
