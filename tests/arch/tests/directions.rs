//! Who may depend on whom. The table is docs/ARCHITECTURE.md's; a crate that is not in it fails the test.

#![allow(clippy::unwrap_used, clippy::panic)]

use cofferdam_arch_tests::{Kind, built_with, members};

/// What everybody above them may know: types and traits, no I/O.
const CONTRACTS: &[&str] = &["sandbox/api", "tenant/core", "netpolicy/core", "proto/cri", "proto/pod", "proto/admin"];

/// Folder -> what it may depend on. Of `cri/*`: contracts and its own siblings, never an implementation of a sandbox, a
/// network, a policy backend or a source.
const MAY: &[(&str, &[&str])] = &[
    ("proto/cri", &[]),
    ("proto/admin", &[]),
    ("proto/pod", &[]),
    ("tenant/core", &[]),
    ("tenant/cluster", &["tenant/core"]),
    ("tenant/source", &["tenant/core", "tenant/cluster"]),
    ("tenant/registry", &["tenant/core", "tenant/cluster"]),
    ("netpolicy/core", &["tenant/core", "tenant/cluster"]),
    ("netpolicy/watch", &["netpolicy/core", "tenant/cluster", "tenant/source"]),
    ("netpolicy/controller", &["netpolicy/core", "tenant/core", "tenant/cluster"]),
    ("netpolicy/nft", &["netpolicy/core"]),
    ("sandbox/api", &["tenant/core", "proto/pod"]),
    ("sandbox/sys", &[]),
    ("sandbox/tree", &[]),
    ("sandbox/cgroup", &[]),
    ("sandbox/container", &["sandbox/sys", "sandbox/cgroup", "proto/pod"]),
    ("sandbox/supervisor", &["sandbox/container", "proto/pod"]),
    ("sandbox/client", &["sandbox/api", "sandbox/sys", "sandbox/cgroup", "proto/pod"]),
    ("sandbox/network", &["sandbox/api", "sandbox/sys", "proto/pod"]),
    ("sandbox/namespace", &["sandbox/api", "sandbox/sys", "sandbox/client", "proto/pod"]),
    ("sandbox/vmm", &["sandbox/sys", "sandbox/cgroup", "sandbox/supervisor", "proto/pod"]),
    ("sandbox/vm", &["sandbox/api", "sandbox/sys", "sandbox/tree", "sandbox/client", "sandbox/vmm", "proto/pod"]),
    (
        "sandbox/shim",
        &["sandbox/sys", "sandbox/cgroup", "sandbox/container", "sandbox/supervisor", "sandbox/vmm", "proto/pod"],
    ),
    ("sandbox/agent", &["sandbox/sys", "sandbox/container", "sandbox/supervisor", "sandbox/network", "proto/pod"]),
    ("cri/store", CONTRACTS),
    ("cri/image", &["sandbox/tree"]),
    ("cri/seccomp", CONTRACTS),
    ("cri/streaming", CONTRACTS),
    ("cri/server", SERVER),
    ("cri/daemon", &["*"]),
    ("tests/images", &[]),
    ("tests/support", &["tests/images", "tests/support/macros"]),
    ("tests/support/macros", &[]),
    ("tests/cluster", &["tests/support", "tests/images"]),
    ("tests/e2e", &["*"]),
    ("tests/hostile", &["tests/e2e", "tests/support"]),
    ("tests/arch", &["*"]),
    ("tests/bench", &["*"]),
    ("fuzz/targets", &["*"]),
    ("tests/critest", &["tests/support", "tests/images"]),
    ("tests/peer", &["proto/cri", "tests/support", "tests/images"]),
];

const SERVER: &[&str] = &[
    "sandbox/api",
    "sandbox/tree",
    "tenant/core",
    "netpolicy/core",
    "proto/cri",
    "proto/pod",
    "proto/admin",
    "cri/store",
    "cri/seccomp",
    "cri/streaming",
];

/// What tests may use besides what their crate may depend on.
const IN_TESTS: &[&str] = &["proto/cri", "proto/pod", "proto/admin", "tests/support", "tests/images"];

/// A crate's tests that need one implementation more: folder -> folder.
const IN_TESTS_OF: &[(&str, &[&str])] = &[
    // The client is tried on the real engine.
    ("sandbox/client", &["sandbox/supervisor", "sandbox/container"]),
    // The image that the agent is booted in.
    ("sandbox/agent", &["sandbox/vm"]),
];

/// No crate of the shim and the agent may link these: they are one a pod, static and single-threaded.
const NOT_BESIDE_A_POD: &[&str] = &[
    "cofferdam-netpolicy-nft",
    "nftnl",
    "nftnl-sys",
    "libseccomp",
    "libseccomp-sys",
    "tokio",
    "tonic",
    "cofferdam-tenant",
    "kube",
    "k8s-openapi",
];

fn allowed(folder: &str) -> Option<&'static [&'static str]> {
    MAY.iter().find(|(name, _)| *name == folder).map(|(_, list)| *list)
}

#[test]
fn every_crate_depends_only_on_what_the_table_allows() {
    let mut wrong = Vec::new();
    for member in members().unwrap() {
        let Some(may) = allowed(&member.folder) else {
            wrong.push(format!("{} is not in the table", member.folder));
            continue;
        };
        let extra = IN_TESTS_OF.iter().find(|(name, _)| *name == member.folder).map_or(&[][..], |(_, list)| *list);
        for (on, kind) in &member.depends_on {
            let on = on.as_str();
            let tests_only = on.starts_with("tests/");
            let by_table =
                may.contains(&on) || (may.contains(&"*") && (!tests_only || member.folder.starts_with("tests/")));
            let in_tests = *kind == Kind::Dev && (IN_TESTS.contains(&on) || extra.contains(&on));
            if !by_table && !in_tests {
                wrong.push(format!("{} must not depend on {on} ({kind:?})", member.folder));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_table_names_only_crates_that_exist() {
    let folders: Vec<String> = members().unwrap().into_iter().map(|member| member.folder).collect();
    let named = MAY.iter().chain(IN_TESTS_OF).flat_map(|(name, list)| std::iter::once(name).chain(list.iter()));
    let gone: Vec<&&str> = named.filter(|name| **name != "*" && !folders.iter().any(|f| f == *name)).collect();
    assert!(gone.is_empty(), "{gone:?}");
}

#[test]
fn nothing_heavy_runs_beside_a_pod() {
    for name in ["cofferdam-shim", "cofferdam-agent"] {
        let all = built_with(name).unwrap();
        assert_eq!(all.first().map(String::as_str), Some(name));
        let heavy: Vec<&&str> = NOT_BESIDE_A_POD.iter().filter(|heavy| all.iter().any(|one| one == **heavy)).collect();
        assert!(heavy.is_empty(), "{name} is built with {heavy:?}");
    }
}

#[test]
fn the_search_for_heavy_crates_finds_them_where_they_are() {
    let all = built_with("cofferdam-netpolicy-nft").unwrap();
    assert!(all.iter().any(|name| name == "nftnl-sys"), "{all:?}");
}
