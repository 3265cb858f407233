//! From a CRI `ContainerConfig` to the spec of a container: pure, but for the look at device nodes and user files that
//! the caller hands in as [`Facts`].
//!
//! Every field of ContainerConfig and Mount is honoured here or refused with its name; [`refuse`] holds the list of what
//! is refused.

mod capabilities;
mod devices;
mod linux;
mod mounts;
mod namespaces;
mod process;
pub(crate) mod refuse;
mod resources;
pub(crate) mod user;

use std::path::{Path, PathBuf};

use cofferdam_cri_api::v1 as cri;
use cofferdam_sandbox::{ContainerRootfs, ContainerSpec, SandboxKind, SandboxSpec, Stdio};
use oci_spec::runtime::{RootBuilder, SpecBuilder};

pub(crate) use capabilities::added as added_capabilities;
pub(crate) use process::stop_signal;
pub(crate) use resources::{merge as merge_resources, to_oci as resources_to_oci};

/// A field that cannot be honoured, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub(crate) struct SpecError {
    /// The CRI field, as in the proto.
    pub field: String,
    /// The reason.
    pub reason: String,
}

impl SpecError {
    pub fn new(field: impl Into<String>, reason: impl std::fmt::Display) -> Self {
        SpecError { field: field.into(), reason: reason.to_string() }
    }
}

/// What the image says.
#[derive(Debug, Clone, Default)]
pub(crate) struct ImageDefaults {
    pub entrypoint: Vec<String>,
    pub cmd: Vec<String>,
    pub env: Vec<String>,
    pub working_dir: String,
    pub user: String,
    pub stop_signal: String,
    pub volumes: Vec<String>,
}

/// All that goes into a container's spec.
pub(crate) struct Facts<'a> {
    pub id: &'a str,
    pub config: &'a cri::ContainerConfig,
    pub sandbox: &'a SandboxSpec,
    pub image: &'a ImageDefaults,
    pub users: &'a user::UserFiles,
    pub rootfs: ContainerRootfs,
    /// Compiled seccomp program; empty: unconfined.
    pub seccomp: Vec<u8>,
    /// `STATE/pods/ID`: resolv.conf, hosts, hostname, shm.
    pub pod_dir: &'a Path,
    /// Anonymous volumes of the image live below this directory.
    pub volume_dir: PathBuf,
}

impl Facts<'_> {
    fn security(&self) -> cri::LinuxContainerSecurityContext {
        self.config.linux.as_ref().and_then(|l| l.security_context.clone()).unwrap_or_default()
    }

    fn user_namespace(&self) -> bool {
        self.sandbox.namespaces.user.is_some()
    }
}

/// The spec, and the user that the container runs as.
pub(crate) fn container_spec(facts: &Facts<'_>) -> Result<(ContainerSpec, user::Identity), SpecError> {
    refuse::container(facts.config, facts.sandbox)?;
    let security = facts.security();
    let identity = user::identify(&security, &facts.image.user, facts.users)?;
    let devices = devices::devices(facts.config, security.privileged, is_vm(facts.sandbox))?;
    let process = process::process(facts, &security, &identity)?;
    let linux = linux::linux(facts, &security, &devices)?;
    let mounts = mounts::mounts(facts, &security)?;
    let oci = SpecBuilder::default()
        .version("1.2.0")
        .hostname(facts.sandbox.hostname.clone())
        .process(process)
        .root(RootBuilder::default().path("rootfs").readonly(security.readonly_rootfs).build().map_err(builder)?)
        .mounts(mounts)
        .linux(linux)
        .build()
        .map_err(builder)?;
    let spec = ContainerSpec {
        id: facts.id.to_owned(),
        name: facts.config.metadata.as_ref().map(|m| m.name.clone()).unwrap_or_default(),
        oci,
        rootfs: facts.rootfs.clone(),
        seccomp: facts.seccomp.clone(),
        stdio: Stdio { terminal: facts.config.tty, stdin: facts.config.stdin, stdin_once: facts.config.stdin_once },
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

/// The builders of oci-spec fail only when a required field is missing.
fn builder(error: impl std::fmt::Display) -> SpecError {
    SpecError::new("spec", error)
}

/// Whether this container may be given the devices and capabilities of the node.
pub(crate) fn is_vm(sandbox: &SandboxSpec) -> bool {
    sandbox.kind == SandboxKind::Vm
}
