//! What a VM cannot give, refused by CRI field.

use cofferdam_sandbox::{ContainerSpec, NamespaceMode, SandboxError, SandboxSpec};

use crate::plan::is_bind;

fn refuse(field: &str, reason: impl Into<String>) -> Result<(), SandboxError> {
    Err(SandboxError::Unsupported { field: field.to_owned(), reason: reason.into() })
}

pub(crate) fn pod(spec: &SandboxSpec) -> Result<(), SandboxError> {
    const OPTIONS: &str = "linux.security_context.namespace_options";
    let node = |mode| mode == NamespaceMode::Node;
    let namespaces = &spec.namespaces;
    if node(namespaces.network) {
        return refuse(&format!("{OPTIONS}.network"), "a VM has a network of its own, never the node's (hostNetwork)");
    }
    if node(namespaces.pid) {
        return refuse(&format!("{OPTIONS}.pid"), "a VM has processes of its own, never the node's (hostPID)");
    }
    if node(namespaces.ipc) {
        return refuse(&format!("{OPTIONS}.ipc"), "a VM has IPC objects of its own, never the node's (hostIPC)");
    }
    if namespaces.user.is_some() {
        return refuse(&format!("{OPTIONS}.userns_options"), "a VM has all user ids for itself and maps none");
    }
    if spec.vm.is_none_or(|size| size.cpus == 0) {
        return refuse("vm.cpus", "a VM needs at least one CPU");
    }
    Ok(())
}

pub(crate) fn container(spec: &ContainerSpec) -> Result<(), SandboxError> {
    let devices = spec.oci.linux().as_ref().and_then(|linux| linux.devices().as_ref());
    if let Some(device) = devices.and_then(|devices| devices.first()) {
        return refuse("devices", format!("{}: a VM has no devices of the node", device.path().display()));
    }
    for (index, mount) in spec.oci.mounts().iter().flatten().enumerate() {
        let options = mount.options().as_deref().unwrap_or_default();
        let destination = mount.destination().display();
        if options.iter().any(|option| matches!(option.as_str(), "rshared" | "shared")) {
            return refuse(
                &format!("mounts[{index}].propagation"),
                format!("{destination}: what a VM mounts cannot appear on the node"),
            );
        }
        if mount.uid_mappings().is_some() || mount.gid_mappings().is_some() {
            return refuse(&format!("mounts[{index}].uid_mappings"), format!("{destination}: a VM maps no user ids"));
        }
        if is_bind(mount) {
            source(index, mount.source().as_deref().unwrap_or(std::path::Path::new("")), &destination.to_string())?;
        }
    }
    Ok(())
}

fn source(index: usize, path: &std::path::Path, destination: &str) -> Result<(), SandboxError> {
    use std::os::unix::fs::FileTypeExt;
    // What is missing is told by the mount itself.
    let Ok(found) = std::fs::metadata(path) else { return Ok(()) };
    let kind = found.file_type();
    let what = match () {
        () if kind.is_block_device() || kind.is_char_device() => "a device",
        () if kind.is_socket() => "a socket: nobody answers it from inside of a VM",
        () => return Ok(()),
    };
    refuse(&format!("mounts[{index}].host_path"), format!("{} ({destination}) is {what} of the node", path.display()))
}
