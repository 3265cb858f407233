//! How a container's files get into the share: pure.

use std::path::{Path, PathBuf};

use cofferdam_pod_api::{GUEST_CGROUP, SHARE_DIR};
use cofferdam_sandbox::{ContainerRootfs, ContainerSpec, SandboxError};
use oci_spec::runtime::Mount;

/// Whether writes through the share are refused by the host already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadOnly {
    /// They are not.
    No,
    /// In the mount itself.
    Yes,
    /// In all mounts below it as well.
    Recursive,
}

/// A host path that a VM sees through its share: `host` is mounted at `share`, the guest finds it at `guest`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareMount {
    /// Path on the host.
    pub host: PathBuf,
    /// Path below the share's root.
    pub share: PathBuf,
    /// Path in the guest.
    pub guest: PathBuf,
}

/// One bind mount into the share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind {
    /// From where to where.
    pub mount: ShareMount,
    /// See there.
    pub read_only: ReadOnly,
    /// With the mounts below the source.
    pub recursive: bool,
    /// What the host mounts below the source later arrives.
    pub slave: bool,
}

/// What has to be mounted for a container, and what the agent is told.
#[derive(Debug, Clone, PartialEq)]
pub struct StagePlan {
    /// The container's directory below the share's root.
    pub dir: PathBuf,
    /// The overlay of the root file system.
    pub overlay: ContainerRootfs,
    /// Where it is mounted, below the share's root.
    pub rootfs: PathBuf,
    /// Volumes and files.
    pub binds: Vec<Bind>,
    /// The container with the guest's paths.
    pub spec: ContainerSpec,
}

const ROOTFS: &str = "rootfs";
const SHM: &str = "/dev/shm";

/// Whether a mount has a path of the host as its source.
pub(crate) fn is_bind(mount: &Mount) -> bool {
    let options = mount.options().as_deref().unwrap_or_default();
    mount.typ().as_deref() == Some("bind") || options.iter().any(|option| option == "bind" || option == "rbind")
}

/// Plans a container of the pod whose directory is given. The order of the mounts and their number stay.
pub fn plan(mut spec: ContainerSpec, pod_dir: &Path) -> Result<StagePlan, SandboxError> {
    if spec.id.is_empty() || !spec.id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Err(SandboxError::failed("stage a container", format!("{:?} is no container id", spec.id)));
    }
    let dir = PathBuf::from(&spec.id);
    let guest = |below: &Path| Path::new(SHARE_DIR).join(below);
    let (mut mounts, mut binds) = (spec.oci.mounts().clone().unwrap_or_default(), Vec::new());
    for (index, mount) in mounts.iter_mut().enumerate().filter(|(_, mount)| is_bind(mount)) {
        let Some(host) = mount.source().clone() else {
            return Err(SandboxError::Unsupported {
                field: format!("mounts[{index}].host_path"),
                reason: "is empty".into(),
            });
        };
        // The pod's own is the guest's; a volume that kubelet puts there is a volume.
        if mount.destination() == Path::new(SHM) && host == pod_dir.join("shm") {
            mount.set_source(Some(SHM.into()));
            continue;
        }
        let share = dir.join(format!("m{index}"));
        mount.set_source(Some(guest(&share)));
        binds.push(bind(mount, ShareMount { host, guest: guest(&share), share }));
    }
    spec.oci.set_mounts(Some(mounts));
    if let Some(linux) = spec.oci.linux_mut() {
        linux.set_cgroups_path(Some(Path::new(GUEST_CGROUP).join(&spec.id)));
    }
    let rootfs = dir.join(ROOTFS);
    let inside = ContainerRootfs { lower: vec![guest(&rootfs)], upper: PathBuf::new(), work: PathBuf::new() };
    let overlay = std::mem::replace(&mut spec.rootfs, inside);
    Ok(StagePlan { dir, overlay, rootfs, binds, spec })
}

fn bind(mount: &Mount, place: ShareMount) -> Bind {
    let options = mount.options().as_deref().unwrap_or_default();
    let has = |wanted: &[&str]| options.iter().any(|option| wanted.contains(&option.as_str()));
    let read_only = match () {
        () if has(&["rro"]) => ReadOnly::Recursive,
        () if has(&["ro"]) => ReadOnly::Yes,
        () => ReadOnly::No,
    };
    Bind { mount: place, read_only, recursive: !has(&["bind"]), slave: has(&["rslave", "slave"]) }
}

#[cfg(test)]
mod tests {
    use cofferdam_sandbox::Stdio;
    use oci_spec::runtime::{LinuxBuilder, MountBuilder, Spec};

    use super::*;

    fn mount(destination: &str, typ: &str, source: &str, options: &[&str]) -> Mount {
        let options: Vec<String> = options.iter().map(|option| option.to_string()).collect();
        MountBuilder::default().destination(destination).typ(typ).source(source).options(options).build().unwrap()
    }

    fn container(mounts: Vec<Mount>) -> ContainerSpec {
        let mut oci = Spec::default();
        oci.set_mounts(Some(mounts));
        oci.set_linux(Some(LinuxBuilder::default().cgroups_path("/kubepods/podX/c1").build().unwrap()));
        ContainerSpec {
            id: "c1".into(),
            name: "web".into(),
            oci,
            rootfs: ContainerRootfs {
                lower: vec!["/l/2".into(), "/l/1".into()],
                upper: "/u".into(),
                work: "/w".into(),
            },
            seccomp: Vec::new(),
            stdio: Stdio::default(),
            pid_target: None,
            extensions: Default::default(),
        }
    }

    #[test]
    fn host_paths_become_guest_paths_and_the_rest_stays() {
        let plan = plan(
            container(vec![
                mount("/proc", "proc", "proc", &["nosuid"]),
                mount("/dev/shm", "bind", "/state/pods/p/shm", &["rbind", "rw"]),
                mount("/etc/hosts", "bind", "/kubelet/etc-hosts", &["rbind", "rprivate", "rw"]),
                mount("/data", "bind", "/kubelet/vol", &["rbind", "rslave", "ro"]),
            ]),
            Path::new("/state/pods/p"),
        )
        .unwrap();
        let mounts = plan.spec.oci.mounts().clone().unwrap();
        let sources: Vec<_> =
            mounts.iter().map(|mount| mount.source().clone().unwrap().display().to_string()).collect();
        assert_eq!(sources, ["proc", "/dev/shm", "/share/c1/m2", "/share/c1/m3"]);
        assert_eq!(mounts[3].options().clone().unwrap(), ["rbind", "rslave", "ro"]);
        assert_eq!(plan.spec.rootfs.lower, [PathBuf::from("/share/c1/rootfs")]);
        assert_eq!(plan.overlay.lower.len(), 2);
        assert_eq!(plan.spec.oci.linux().as_ref().unwrap().cgroups_path().clone().unwrap(), Path::new("/pod/c1"));
        assert_eq!(plan.binds.len(), 2);
        assert_eq!((plan.binds[0].read_only, plan.binds[0].slave), (ReadOnly::No, false));
        assert_eq!(
            (plan.binds[1].read_only, plan.binds[1].slave, plan.binds[1].recursive),
            (ReadOnly::Yes, true, true)
        );
    }

    #[test]
    fn a_volume_at_dev_shm_is_a_volume() {
        let plan =
            plan(container(vec![mount("/dev/shm", "bind", "/kubelet/vol", &["rbind"])]), Path::new("/state/pods/p"))
                .unwrap();
        assert_eq!(plan.binds[0].mount.host, Path::new("/kubelet/vol"));
    }

    #[test]
    fn an_id_that_leaves_the_share_is_refused() {
        let spec = ContainerSpec { id: "../x".into(), ..container(Vec::new()) };
        assert!(plan(spec, Path::new("/state/pods/p")).is_err());
    }

    #[test]
    fn what_a_vm_cannot_give_is_refused_by_field() {
        let check = |mount: Mount| crate::check::container(&container(vec![mount])).unwrap_err().to_string();
        assert!(check(mount("/a", "bind", "/b", &["rbind", "rshared"])).starts_with("mounts[0].propagation"));
        let device = check(mount("/dev/x", "bind", "/dev/null", &["rbind"]));
        assert!(device.starts_with("mounts[0].host_path") && device.contains("/dev/null"), "{device}");
    }
}
