//! CRI configs, read as RunPodSandbox and CreateContainer read them: the way in for the fuzz targets.

use cofferdam_cri_api::v1 as cri;
use cofferdam_sandbox::{ContainerRootfs, ContainerSpec, SandboxKind};
use prost::Message as _;

use crate::spec::{self, ContainerInputs, ImageDefaults, PodInputs, SpecError, user::UserFiles};

/// What one request and an image bring, as bytes and texts.
#[derive(Debug, Default)]
pub struct Request<'a> {
    /// An encoded PodSandboxConfig.
    pub sandbox: &'a [u8],
    /// An encoded ContainerConfig.
    pub container: &'a [u8],
    /// USER of the image.
    pub user: &'a str,
    /// `/etc/passwd` of the image, and its `/etc/group`.
    pub accounts: &'a str,
}

/// The container's spec; `None`: bytes that are no config, or one that is refused.
pub fn container_spec(request: &Request<'_>) -> Option<ContainerSpec> {
    let sandbox = cri::PodSandboxConfig::decode(request.sandbox).ok()?;
    let container = cri::ContainerConfig::decode(request.container).ok()?;
    assemble(request, &sandbox, &container).ok()
}

fn assemble(
    request: &Request<'_>,
    sandbox: &cri::PodSandboxConfig,
    container: &cri::ContainerConfig,
) -> Result<ContainerSpec, SpecError> {
    spec::refuse::sandbox(sandbox)?;
    let sandbox = spec::sandbox_spec(PodInputs {
        id: "pod".into(),
        config: sandbox,
        tenant: "default".into(),
        kind: SandboxKind::Namespace,
        vm: None,
        user_namespace: None,
        dir: "/run/cofferdam/pods/pod".into(),
        cgroup_root: "/cofferdam",
        cgroup_driver: cri::CgroupDriver::Cgroupfs,
        init_seccomp: Vec::new(),
    })?;
    spec::stop_signal(container, request.user)?;
    let inputs = ContainerInputs {
        id: "container",
        config: container,
        sandbox: &sandbox,
        image: &ImageDefaults { user: request.user.into(), cmd: vec!["sh".into()], ..Default::default() },
        users: &UserFiles { passwd: request.accounts.into(), group: request.accounts.into() },
        rootfs: ContainerRootfs { lower: Vec::new(), upper: "/upper".into(), work: "/work".into() },
        seccomp: Vec::new(),
        pod_dir: &sandbox.dir,
        files_dir: &sandbox.dir,
        volume_dir: "/var/lib/cofferdam/volumes/container".into(),
        sources: container.mounts.iter().map(|m| m.host_path.clone().into()).collect(),
        masked: true,
    };
    Ok(spec::container_spec(&inputs)?.0)
}
