//! The fields of a spec that are refused, by name. Pure.

use cofferdam_pod_api::{ContainerSpec, unpack_variable};
use cofferdam_sys::cred::LARGEST_ID;
use oci_spec::runtime::{Linux, Process};

use crate::error::{Error, refuse};
use crate::options::Options;

/// Whether every field of the spec can be honoured.
///
/// # Errors
/// [`Error::Refused`] names the first that cannot.
pub fn check(spec: &ContainerSpec) -> Result<(), Error> {
    let oci = &spec.oci;
    refuse("hooks", oci.hooks().as_ref().is_some_and(|h| *h != Default::default()), "hooks are not run")?;
    refuse("solaris", oci.solaris().is_some(), "this is Linux")?;
    refuse("windows", oci.windows().is_some(), "this is Linux")?;
    refuse("vm", oci.vm().is_some(), "the sandbox decides")?;
    refuse("zos", oci.zos().is_some(), "this is Linux")?;
    refuse("domainname", set(oci.domainname()), "belongs to the pod")?;
    let process = oci.process().as_ref().ok_or_else(|| Error::refused("process", "is missing"))?;
    check_process(process)?;
    if let Some(linux) = oci.linux() {
        check_linux(linux)?;
    }
    for mount in oci.mounts().iter().flatten() {
        Options::of(mount)?;
    }
    refuse("rootfs.lower", spec.rootfs.lower.is_empty(), "names no layer")
}

/// The fields of a process, of a container or of an exec.
pub(crate) fn check_process(process: &Process) -> Result<(), Error> {
    refuse("process.args", process.args().as_ref().is_none_or(Vec::is_empty), "is empty")?;
    refuse("process.commandLine", set(process.command_line()), "this is Linux")?;
    refuse("process.apparmorProfile", set(process.apparmor_profile()), "AppArmor is not supported")?;
    refuse("process.selinuxLabel", set(process.selinux_label()), "SELinux is not supported")?;
    refuse("process.ioPriority", process.io_priority().is_some(), "is not supported")?;
    refuse("process.scheduler", process.scheduler().is_some(), "is not supported")?;
    refuse("process.execCPUAffinity", process.exec_cpu_affinity().is_some(), "is not supported")?;
    refuse("process.cwd", !process.cwd().is_absolute(), "is not absolute")?;
    refuse("process.user.username", set(process.user().username()), "names are resolved before")?;
    let user = process.user();
    let none = |id: u32| id > LARGEST_ID;
    refuse("process.user.uid", none(user.uid()), "is no id")?;
    refuse("process.user.gid", none(user.gid()), "is no id")?;
    let groups = user.additional_gids().iter().flatten().any(|id| none(*id));
    refuse("process.user.additionalGids", groups, "holds what is no id")?;
    let args = process.args().iter().flatten();
    refuse("process.args", args.into_iter().any(|s| s.contains('\0')), "holds a NUL")?;
    let env = process.env().iter().flatten();
    refuse("process.env", env.into_iter().any(|s| unpack_variable(s).is_none()), "holds a NUL")
}

fn check_linux(linux: &Linux) -> Result<(), Error> {
    refuse("linux.seccomp", linux.seccomp().is_some(), "comes as a compiled program")?;
    refuse("linux.namespaces", filled(linux.namespaces()), "the sandbox decides")?;
    refuse("linux.uidMappings", filled(linux.uid_mappings()), "the sandbox decides")?;
    refuse("linux.gidMappings", filled(linux.gid_mappings()), "the sandbox decides")?;
    refuse("linux.sysctl", linux.sysctl().as_ref().is_some_and(|s| !s.is_empty()), "belongs to the pod")?;
    refuse("linux.netDevices", linux.net_devices().as_ref().is_some_and(|s| !s.is_empty()), "belong to the pod")?;
    refuse("linux.mountLabel", set(linux.mount_label()), "SELinux is not supported")?;
    refuse("linux.intelRdt", linux.intel_rdt().is_some(), "is not supported")?;
    refuse("linux.memoryPolicy", linux.memory_policy().is_some(), "is not supported")?;
    refuse("linux.personality", linux.personality().is_some(), "is not supported")?;
    refuse("linux.timeOffsets", linux.time_offsets().as_ref().is_some_and(|s| !s.is_empty()), "is not supported")?;
    if let Some(resources) = linux.resources() {
        crate::limits::check(resources)?;
    }
    let known = ["", "private", "rprivate", "slave", "rslave", "shared", "rshared"];
    let propagation = linux.rootfs_propagation().as_deref().unwrap_or_default();
    refuse("linux.rootfsPropagation", !known.contains(&propagation), "is not known")
}

fn set(text: &Option<String>) -> bool {
    text.as_ref().is_some_and(|t| !t.is_empty())
}

fn filled<T>(list: &Option<Vec<T>>) -> bool {
    list.as_ref().is_some_and(|l| !l.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(change: impl FnOnce(&mut Process) -> &mut Process) -> String {
        let mut process = Process::default();
        change(&mut process);
        check_process(&process).map_or_else(|e| e.to_string(), |()| String::new())
    }

    #[test]
    fn a_plain_process_is_accepted_and_labels_are_refused_by_name() {
        assert_eq!(process(|p| p), "");
        let refusal = process(|p| p.set_apparmor_profile(Some("x".into())));
        assert!(refusal.starts_with("process.apparmorProfile"), "{refusal}");
        assert_eq!(process(|p| p.set_selinux_label(Some(String::new()))), "");
        assert!(process(|p| p.set_cwd("here".into())).contains("cwd"));
        assert!(process(|p| p.set_args(None)).contains("args"));
    }

    #[test]
    fn a_user_that_would_stay_root_is_refused_by_name() {
        let with = |uid, gid, groups: Vec<u32>| {
            let user = oci_spec::runtime::UserBuilder::default().uid(uid).gid(gid).additional_gids(groups);
            process(|p| p.set_user(user.build().unwrap()))
        };
        assert_eq!(with(LARGEST_ID, 0u32, vec![LARGEST_ID]), "");
        assert!(with(u32::MAX, 0, vec![]).starts_with("process.user.uid"));
        assert!(with(0, 1 << 31, vec![]).starts_with("process.user.gid"));
        assert!(with(0, 0, vec![0, u32::MAX]).starts_with("process.user.additionalGids"));
    }

    #[test]
    fn rdt_and_namespaces_are_refused_by_name() {
        let mut linux = Linux::default();
        linux.set_namespaces(None);
        assert_eq!(check_linux(&linux), Ok(()));
        linux.set_intel_rdt(Some(Default::default()));
        assert!(check_linux(&linux).unwrap_err().to_string().starts_with("linux.intelRdt"));
    }
}
