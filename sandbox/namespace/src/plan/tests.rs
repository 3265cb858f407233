use std::collections::{BTreeMap, BTreeSet};

use cofferdam_sandbox::{PodNamespaces, UserNamespace, VmSize};

use super::*;

fn spec() -> SandboxSpec {
    let pod = NamespaceMode::Pod;
    SandboxSpec {
        id: "ab".repeat(32),
        namespace: "default".into(),
        name: "web".into(),
        uid: "u".into(),
        tenant: "blue".into(),
        kind: SandboxKind::Namespace,
        hostname: "web".into(),
        dir: "/run/x/pods/p".into(),
        cgroup: format!("/coff/pods/{}", "ab".repeat(32)),
        shim_cgroup: "/coff/shims".into(),
        namespaces: PodNamespaces { network: pod, pid: NamespaceMode::Container, ipc: pod, user: None },
        sysctls: BTreeMap::new(),
        shm_size: 64 << 20,
        resolv_conf: String::new(),
        vm: None,
        init_seccomp: vec![1, 2],
    }
}

fn refused(change: impl FnOnce(&mut SandboxSpec)) -> Option<String> {
    let mut spec = spec();
    change(&mut spec);
    match check(&spec) {
        Ok(()) => None,
        Err(SandboxError::Unsupported { field, .. }) => Some(field),
        Err(other) => panic!("{other}"),
    }
}

fn made(plan: &CgroupPlan) -> Vec<&str> {
    plan.make.iter().map(|path| path.to_str().unwrap()).collect()
}

#[test]
fn the_shim_is_told_all_and_pins_the_network_below_the_pods_directory() {
    let config = shim_config(&spec());
    let ShimKind::Namespace(namespaces) = config.kind else { panic!() };
    assert_eq!(namespaces.netns, Some("/run/x/pods/p/netns".into()));
    assert_eq!((namespaces.init_seccomp, namespaces.shm_size), (vec![1, 2], 64 << 20));
    let mut host = spec();
    host.namespaces.network = NamespaceMode::Node;
    assert_eq!(netns(&host), None);
}

#[test]
fn what_cannot_be_given_is_refused_by_field() {
    assert_eq!(refused(|_| {}), None);
    assert_eq!(refused(|s| s.vm = Some(VmSize { cpus: 1, memory: 1 })).unwrap(), "runtime_handler");
    assert_eq!(refused(|s| s.kind = SandboxKind::Vm).unwrap(), "runtime_handler");
    let map = |container| vec![IdMap { container, host: 100_000, size: 65536 }];
    let user = |uids, gids| Some(UserNamespace { uids, gids });
    assert_eq!(refused(|s| s.namespaces.user = user(map(0), map(0))), None);
    let field = refused(|s| s.namespaces.user = user(map(0), map(1))).unwrap();
    assert!(field.ends_with("userns_options.gids"), "{field}");
    let double = [map(0), map(100)].concat();
    assert!(refused(|s| s.namespaces.user = user(double, map(0))).unwrap().ends_with("uids"));
    let field = refused(|s| {
        s.namespaces.user = user(map(0), map(0));
        s.namespaces.pid = NamespaceMode::Node;
    });
    assert!(field.unwrap().ends_with("namespace_options.pid"));
}

#[test]
fn sysctls_need_a_namespace_of_the_pods_own() {
    let with = |name: &str, network| {
        refused(|s| {
            s.sysctls.insert(name.into(), "1".into());
            s.namespaces.network = network;
        })
    };
    assert_eq!(with("net.ipv4.ip_forward", NamespaceMode::Pod), None);
    assert_eq!(with("kernel.shm_rmid_forced", NamespaceMode::Node), None);
    assert!(with("net.ipv4.ip_forward", NamespaceMode::Node).unwrap().contains("net.ipv4.ip_forward"));
    assert!(with("kernel.panic", NamespaceMode::Pod).is_some());
    assert!(with("net.../../x", NamespaceMode::Pod).is_some());
}

#[test]
fn kubelets_cgroups_are_left_alone_and_our_own_go() {
    let roots = [PathBuf::from("/cg/cpu"), PathBuf::from("/cg/pids")];
    let mut spec = spec();
    let there: BTreeSet<PathBuf> = ["/cg/cpu/coff"].iter().map(PathBuf::from).collect();
    let plan = cgroups(&spec, &roots, |path| there.contains(path));
    let id = spec.id.clone();
    let expected = [
        "/cg/cpu/coff/pods".to_owned(),
        format!("/cg/cpu/coff/pods/{id}"),
        "/cg/pids/coff".into(),
        "/cg/pids/coff/pods".into(),
        format!("/cg/pids/coff/pods/{id}"),
    ];
    assert_eq!(made(&plan), expected);
    assert_eq!(plan.remove, [&expected[4], &expected[1]].map(PathBuf::from));
    spec.cgroup = "/kubepods/burstable/podX".into();
    assert_eq!(cgroups(&spec, &roots, |_| true), CgroupPlan::default());
    let partly = cgroups(&spec, &roots, |path| path.starts_with("/cg/cpu") || path.ends_with("kubepods"));
    assert_eq!(made(&partly), ["/cg/pids/kubepods/burstable", "/cg/pids/kubepods/burstable/podX"]);
    assert_eq!(partly.remove, partly.make.iter().rev().cloned().collect::<Vec<_>>());
    assert!(!owns_cgroup(&spec));
}

#[test]
fn a_second_plan_of_what_was_made_is_empty() {
    let roots = [PathBuf::from("/cg/cpu")];
    let first = cgroups(&spec(), &roots, |_| false);
    let second = cgroups(&spec(), &roots, |path| first.make.iter().any(|made| made == path));
    assert_eq!(second, CgroupPlan::default());
}

#[test]
fn only_mounts_below_the_directory_are_found_last_first() {
    let mountinfo = "1 0 0:1 / / rw - ext4 x rw\n\
                     2 1 0:2 / /run/x/pods/p rw - tmpfs x rw\n\
                     3 1 0:3 net:[4] /run/x/pods/p/netns rw - nsfs nsfs rw\n\
                     4 1 0:4 / /run/x/pods/p/a\\040b rw - tmpfs x rw\n\
                     5 1 0:5 / /run/x/pods/pp/shm rw - tmpfs x rw\n";
    let found = mounts_below(mountinfo, Path::new("/run/x/pods/p"));
    assert_eq!(found, ["/run/x/pods/p/a b", "/run/x/pods/p/netns"].map(PathBuf::from));
}
