//! What is to be done, decided without doing it.

use std::path::{Path, PathBuf};

use cofferdam_pod_api::{ShimConfig, ShimKind, ShimNamespaces};
use cofferdam_sandbox::{IdMap, NamespaceMode, SandboxError, SandboxKind, SandboxSpec};

/// Where the pod's network namespace is pinned; `None` with host network.
pub(crate) fn netns(spec: &SandboxSpec) -> Option<PathBuf> {
    (spec.namespaces.network == NamespaceMode::Pod).then(|| spec.dir.join("netns"))
}

/// The cgroup of the init of a shared PID namespace. Two attempts of one pod share the pod's cgroup, so it has the
/// sandbox's name.
pub(crate) fn init_cgroup(spec: &SandboxSpec) -> String {
    format!("{}/sandbox-init-{}", spec.cgroup.trim_end_matches('/'), spec.id)
}

/// What the shim is told.
pub(crate) fn shim_config(spec: &SandboxSpec) -> ShimConfig {
    ShimConfig {
        id: spec.id.clone(),
        dir: spec.dir.clone(),
        cgroup: spec.cgroup.clone(),
        shim_cgroup: spec.shim_cgroup.clone(),
        kind: ShimKind::Namespace(ShimNamespaces {
            namespaces: spec.namespaces.clone(),
            hostname: spec.hostname.clone(),
            sysctls: spec.sysctls.clone(),
            shm_size: spec.shm_size,
            netns: netns(spec),
            init_seccomp: spec.init_seccomp.clone(),
        }),
    }
}

/// Refuses, by CRI field, what no namespace sandbox can give.
pub(crate) fn check(spec: &SandboxSpec) -> Result<(), SandboxError> {
    if spec.kind != SandboxKind::Namespace || spec.vm.is_some() {
        return unsupported("runtime_handler", "this pod asks for a VM");
    }
    check_user(spec)?;
    for name in spec.sysctls.keys() {
        check_sysctl(spec, name)?;
    }
    Ok(())
}

fn unsupported<T>(field: &str, reason: impl Into<String>) -> Result<T, SandboxError> {
    Err(SandboxError::Unsupported { field: field.into(), reason: reason.into() })
}

fn check_user(spec: &SandboxSpec) -> Result<(), SandboxError> {
    let Some(user) = &spec.namespaces.user else { return Ok(()) };
    let options = "linux.security_context.namespace_options";
    let modes = [("network", spec.namespaces.network), ("pid", spec.namespaces.pid), ("ipc", spec.namespaces.ipc)];
    if let Some((name, _)) = modes.into_iter().find(|(_, mode)| *mode == NamespaceMode::Node) {
        return unsupported(&format!("{options}.{name}"), "a pod with a user namespace cannot share the node's");
    }
    for (name, maps) in [("uids", &user.uids), ("gids", &user.gids)] {
        if !maps.iter().any(|map| map.container == 0 && map.size > 0) {
            return unsupported(&format!("{options}.userns_options.{name}"), "the id 0 is not mapped");
        }
        if overlap(maps) {
            return unsupported(&format!("{options}.userns_options.{name}"), "ranges overlap");
        }
    }
    Ok(())
}

fn overlap(maps: &[IdMap]) -> bool {
    let meet = |a: u32, b: u32, a_size: u32, b_size: u32| {
        u64::from(a) < u64::from(b) + u64::from(b_size) && u64::from(b) < u64::from(a) + u64::from(a_size)
    };
    let pairs = maps.iter().enumerate().flat_map(|(n, a)| maps[n + 1..].iter().map(move |b| (a, b)));
    pairs
        .into_iter()
        .any(|(a, b)| meet(a.container, b.container, a.size, b.size) || meet(a.host, b.host, a.size, b.size))
}

fn check_sysctl(spec: &SandboxSpec, name: &str) -> Result<(), SandboxError> {
    let field = format!("linux.sysctls[{name}]");
    let ipc = ["kernel.shm", "kernel.msg", "fs.mqueue."].iter().any(|prefix| name.starts_with(prefix))
        || name == "kernel.sem";
    let mode = match (name.starts_with("net."), ipc) {
        _ if name.contains('/') || name.contains("..") => return unsupported(&field, "is not a dotted name"),
        (true, _) => spec.namespaces.network,
        (_, true) => spec.namespaces.ipc,
        _ => return unsupported(&field, "belongs to no namespace"),
    };
    if mode == NamespaceMode::Pod { Ok(()) } else { unsupported(&field, "the pod shares the node's namespace") }
}

/// Whether the pod's cgroup is the sandbox's alone: below `[cgroup] root`, and not a parent that kubelet gave.
pub(crate) fn owns_cgroup(spec: &SandboxSpec) -> bool {
    Path::new(&spec.cgroup).file_name().is_some_and(|name| name == spec.id.as_str())
}

/// Directories that have to be made for the pod's cgroup, and of these the ones that go with the sandbox.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct CgroupPlan {
    /// Topmost first.
    pub(crate) make: Vec<PathBuf>,
    /// Deepest first.
    pub(crate) remove: Vec<PathBuf>,
}

/// See [`CgroupPlan`]. What exists is somebody else's: kubelet's, which removes it itself.
pub(crate) fn cgroups(spec: &SandboxSpec, hierarchies: &[PathBuf], exists: impl Fn(&Path) -> bool) -> CgroupPlan {
    let mut plan = CgroupPlan::default();
    for hierarchy in hierarchies {
        let mut path = hierarchy.clone();
        for part in spec.cgroup.split('/').filter(|part| !part.is_empty()) {
            path.push(part);
            if !exists(&path) {
                plan.make.push(path.clone());
            }
        }
    }
    let whole = |path: &PathBuf| hierarchies.iter().any(|root| *path == root.join(spec.cgroup.trim_matches('/')));
    // `[cgroup] root` and what is shared below it stays: other pods are about to use it.
    plan.remove = plan.make.iter().rev().filter(|path| !owns_cgroup(spec) || whole(path)).cloned().collect();
    plan
}

/// Mount points below a directory, the last mounted first.
pub(crate) fn mounts_below(mountinfo: &str, dir: &Path) -> Vec<PathBuf> {
    let points = mountinfo.lines().filter_map(|line| line.split(' ').nth(4)).map(unescape);
    let mut found: Vec<PathBuf> = points.filter(|point| point.starts_with(dir) && point != dir).collect();
    found.reverse();
    found
}

// The kernel writes blanks, tabs, newlines and backslashes as octal numbers.
fn unescape(text: &str) -> PathBuf {
    let codes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    PathBuf::from(codes.iter().fold(text.to_owned(), |text, (code, character)| text.replace(code, character)))
}

#[cfg(test)]
mod tests;
