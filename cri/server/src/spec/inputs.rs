//! What a container's spec is made of.

use std::path::{Path, PathBuf};

use cofferdam_cri_api::v1 as cri;
use cofferdam_sandbox::{ContainerRootfs, SandboxSpec};

use super::user::UserFiles;

/// What the image's config says, where the request does not.
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
pub(crate) struct ContainerInputs<'a> {
    pub id: &'a str,
    pub config: &'a cri::ContainerConfig,
    pub sandbox: &'a SandboxSpec,
    pub image: &'a ImageDefaults,
    pub users: &'a UserFiles,
    pub rootfs: ContainerRootfs,
    /// Compiled seccomp program; empty: unconfined.
    pub seccomp: Vec<u8>,
    /// `STATE/pods/ID`.
    pub pod_dir: &'a Path,
    /// Where resolv.conf, hosts and hostname are.
    pub files_dir: &'a Path,
    /// Anonymous volumes of the image live below this directory.
    pub volume_dir: PathBuf,
    /// Where the sources of `config.mounts` are found, in their order.
    pub sources: Vec<PathBuf>,
    /// The usual paths are hidden or read-only, whatever lists the request has: behind them is the node.
    pub masked: bool,
}

impl ContainerInputs<'_> {
    pub(super) fn security(&self) -> cri::LinuxContainerSecurityContext {
        self.config.linux.as_ref().and_then(|l| l.security_context.clone()).unwrap_or_default()
    }

    pub(super) fn user_namespace(&self) -> bool {
        self.sandbox.namespaces.user.is_some()
    }
}
