//! What is prepared outside, as root of the host, and handed to the container's set-up as descriptors.

use std::os::fd::{AsFd, OwnedFd};

use cofferdam_pod_api::{IdMap, UserNamespace};
use cofferdam_sys::mount::{Attributes, set_attributes, set_idmap};
use cofferdam_sys::process::set_rlimit;
use oci_spec::runtime::{LinuxIdMapping, Mount, Process, Spec};
use rustix::fs::{Gid, Uid, chown};
use rustix::io::Errno;

use crate::Error;
use crate::error::Step;
use crate::namespaces::{PodNamespaceFds, user_namespace};
use crate::options::{Options, PRIVATE};
use crate::overlay;

/// The sources of bind mounts, one for each mount of the spec (`None`: not a bind mount). Taken in the node's mount
/// namespace, so that shared ones stay connected with it.
pub(crate) fn sources(spec: &Spec, pod: &PodNamespaceFds) -> Result<Vec<Option<OwnedFd>>, Error> {
    spec.mounts().iter().flatten().map(|mount| source(mount, pod)).collect()
}

fn source(mount: &Mount, pod: &PodNamespaceFds) -> Result<Option<OwnedFd>, Error> {
    let options = Options::of(mount)?;
    if !options.bind {
        return Ok(None);
    }
    let at = mount.destination().display();
    let path = mount.source().as_ref().ok_or_else(|| Error::refused(format!("mounts[{at}].source"), "is missing"))?;
    let what = || format!("{} for {at}", path.display());
    let tree = overlay::clone(path, options.recursive)?;
    if let (Some(uids), Some(gids)) = (mount.uid_mappings(), mount.gid_mappings()) {
        let asked = UserNamespace { uids: ranges(uids), gids: ranges(gids) };
        match &pod.user {
            Some(user) if pod.mapping.as_ref() == Some(&asked) => set_idmap(tree.as_fd(), user.as_fd()),
            _ => set_idmap(tree.as_fd(), user_namespace(&asked)?.as_fd()),
        }
        .step_at("map the ids of", what())?;
    }
    let private = options.own.propagation == 0 && options.all.propagation == 0;
    let all = Attributes { propagation: if private { PRIVATE } else { options.all.propagation }, ..options.all };
    set_attributes(tree.as_fd(), all, true).step_at("set the attributes of", what())?;
    set_attributes(tree.as_fd(), options.own, false).step_at("set the attributes of", what())?;
    Ok(Some(tree))
}

fn ranges(list: &[LinuxIdMapping]) -> Vec<IdMap> {
    list.iter().map(|m| IdMap { container: m.container_id(), host: m.host_id(), size: m.size() }).collect()
}

/// upper and work belong to the pod's root.
pub(crate) fn own_upper(spec: &cofferdam_pod_api::ContainerSpec, pod: &PodNamespaceFds) -> Result<(), Error> {
    if pod.user.is_none() || spec.rootfs.upper.as_os_str().is_empty() {
        return Ok(());
    }
    let (uid, gid) = pod.host_ids(0, 0)?;
    for dir in [&spec.rootfs.upper, &spec.rootfs.work] {
        chown(dir, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
            .step_at("give to the pod's root", dir.display())?;
    }
    Ok(())
}

/// What needs privileges over the node: the OOM score and limits. Inherited from here on.
pub(crate) fn limits(process: &Process) -> Result<(), Error> {
    if let Some(adj) = process.oom_score_adj() {
        oom_score(adj)?;
    }
    for limit in process.rlimits().iter().flatten() {
        let name = format!("{:?}", limit.typ());
        let number = rlimit(&name).ok_or_else(|| Error::refused("process.rlimits", format!("{name} is not known")))?;
        set_rlimit(number, limit.soft(), limit.hard()).step_at("set the limit", &name)?;
    }
    Ok(())
}

/// Lowering it needs CAP_SYS_RESOURCE: without it, the lowest that is allowed (the present one) stays.
fn oom_score(adj: i32) -> Result<(), Error> {
    let path = std::path::Path::new("/proc/self/oom_score_adj");
    match crate::cgroup::write(path, &adj.to_string()) {
        Err(e)
            if e.raw_os_error() == Some(Errno::ACCESS.raw_os_error())
                || e.raw_os_error() == Some(Errno::PERM.raw_os_error()) =>
        {
            Ok(())
        }
        other => other.step_at("set oom_score_adj to", adj),
    }
}

fn rlimit(name: &str) -> Option<u32> {
    let names = [
        "Cpu",
        "Fsize",
        "Data",
        "Stack",
        "Core",
        "Rss",
        "Nproc",
        "Nofile",
        "Memlock",
        "As",
        "Locks",
        "Sigpending",
        "Msgqueue",
        "Nice",
        "Rtprio",
        "Rttime",
    ];
    let short = name.strip_prefix("Rlimit").unwrap_or(name);
    names.iter().position(|n| *n == short).and_then(|n| u32::try_from(n).ok())
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_limit_of_oci_has_the_kernels_number() {
        use oci_spec::runtime::PosixRlimitType::*;
        for (typ, number) in
            [(RlimitCpu, 0), (RlimitNofile, 7), (RlimitAs, 9), (RlimitRttime, 15), (RlimitMsgqueue, 12)]
        {
            assert_eq!(super::rlimit(&format!("{typ:?}")), Some(number));
        }
    }
}
