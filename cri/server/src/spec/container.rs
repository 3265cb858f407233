//! From a CRI `ContainerConfig` to the spec of a container.

use cofferdam_cri_api::v1 as cri;
use cofferdam_sandbox::{ContainerSpec, Stdio};
use oci_spec::runtime::{RootBuilder, SpecBuilder};

use super::error::{SpecError, builder};
use super::inputs::ContainerInputs;
use super::pod::is_vm;
use super::{devices, linux, mounts, process, refuse, user};

/// The spec, and the user that the container runs as.
pub(crate) fn container_spec(inputs: &ContainerInputs<'_>) -> Result<(ContainerSpec, user::Identity), SpecError> {
    refuse::container(inputs.config, inputs.sandbox)?;
    let security = inputs.security();
    let identity = user::identify(&security, &inputs.image.user, inputs.users)?;
    let devices = devices::devices(inputs.config, security.privileged, is_vm(inputs.sandbox))?;
    let process = process::process(inputs, &security, &identity)?;
    let linux = linux::linux(inputs, &security, &devices)?;
    let mounts = mounts::mounts(inputs, &security)?;
    let oci = SpecBuilder::default()
        .version("1.2.0")
        .hostname(inputs.sandbox.hostname.clone())
        .process(process)
        .root(RootBuilder::default().path("rootfs").readonly(security.readonly_rootfs).build().map_err(builder)?)
        .mounts(mounts)
        .linux(linux)
        .build()
        .map_err(builder)?;
    let spec = ContainerSpec {
        id: inputs.id.to_owned(),
        name: inputs.config.metadata.as_ref().map(|m| m.name.clone()).unwrap_or_default(),
        oci,
        rootfs: inputs.rootfs.clone(),
        seccomp: inputs.seccomp.clone(),
        stdio: Stdio { terminal: inputs.config.tty, stdin: inputs.config.stdin, stdin_once: inputs.config.stdin_once },
        pid_target: pid_target(&security)?,
        extensions: Default::default(),
    };
    Ok((spec, identity))
}

/// CRI's TARGET mode names a container whose PID namespace to join; the other modes belong to the sandbox.
fn pid_target(security: &cri::LinuxContainerSecurityContext) -> Result<Option<String>, SpecError> {
    let Some(options) = &security.namespace_options else { return Ok(None) };
    if options.pid() != cri::NamespaceMode::Target {
        return Ok(None);
    }
    if options.target_id.is_empty() {
        return Err(SpecError::new("namespace_options.target_id", "is empty with pid mode TARGET"));
    }
    Ok(Some(options.target_id.clone()))
}
