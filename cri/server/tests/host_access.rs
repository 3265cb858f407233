//! What pods of a tenant without host access get of their node: nothing, whatever a request is made of.

#![allow(clippy::unwrap_used)]

mod bed;

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use bed::{Bed, container, pod};
use cofferdam_cri_api::v1 as cri;
use cofferdam_tenant::HostAccess;
use tonic::{Code, Status};

type Security = cri::LinuxContainerSecurityContext;

fn secured(name: &str, change: impl FnOnce(&mut Security)) -> cri::ContainerConfig {
    let mut security = Security::default();
    change(&mut security);
    let linux = cri::LinuxContainerConfig { security_context: Some(security), ..Default::default() };
    cri::ContainerConfig { linux: Some(linux), ..container(name) }
}

fn adds(name: &str, capability: &str) -> cri::ContainerConfig {
    secured(name, |security| {
        let capabilities = cri::Capability { add_capabilities: vec![capability.into()], ..Default::default() };
        security.capabilities = Some(capabilities);
    })
}

fn mounts(name: &str, host_path: &Path) -> cri::ContainerConfig {
    let host_path = host_path.to_string_lossy().into_owned();
    let mount = cri::Mount { container_path: "/data".into(), host_path, ..Default::default() };
    cri::ContainerConfig { mounts: vec![mount], ..container(name) }
}

fn mapped(name: &str, host_id: u32, length: u32) -> cri::PodSandboxConfig {
    let ids = vec![cri::IdMapping { host_id, container_id: 0, length }];
    let user = cri::UserNamespace { mode: cri::NamespaceMode::Pod.into(), uids: ids.clone(), gids: ids };
    let options = cri::NamespaceOption { userns_options: Some(user), ..Default::default() };
    let security = cri::LinuxSandboxSecurityContext { namespace_options: Some(options), ..Default::default() };
    let linux = cri::LinuxPodSandboxConfig { security_context: Some(security), ..Default::default() };
    cri::PodSandboxConfig { linux: Some(linux), ..pod(name) }
}

#[track_caller]
fn denied(answer: Result<String, Status>, names: &str) {
    let status = answer.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied, "{status}");
    assert!(status.message().contains(names), "{status}");
}

#[tokio::test]
async fn a_capability_that_reaches_the_node_is_refused_by_name_however_it_is_asked_for() {
    let bed = Bed::new();
    let sandbox = bed.run(pod("web")).await.unwrap();
    for name in [
        "DAC_READ_SEARCH",
        "CAP_SYS_MODULE",
        "sys_rawio",
        "BPF",
        "PERFMON",
        "SYS_TIME",
        "SYS_BOOT",
        "SYSLOG",
        "MAC_ADMIN",
        "SYS_PTRACE",
        "NET_ADMIN",
        "SYS_ADMIN",
        "SYS_RESOURCE",
        "SYS_NICE",
        "NET_BROADCAST",
        "CHECKPOINT_RESTORE",
    ] {
        denied(bed.create(&sandbox, adds("c", name)).await, &name.to_uppercase().replace("CAP_", ""));
    }
    denied(bed.create(&sandbox, adds("c", "ALL")).await, "CAP_");
    let ambient = secured("c", |security| {
        let capabilities = cri::Capability { add_ambient_capabilities: vec!["SYS_TIME".into()], ..Default::default() };
        security.capabilities = Some(capabilities);
    });
    denied(bed.create(&sandbox, ambient).await, "CAP_SYS_TIME");
    denied(bed.create(&sandbox, secured("c", |security| security.privileged = true)).await, "privileged");
    assert_eq!(bed.pod(&sandbox).specs().len(), 0);
    for (name, capability) in [("a", "IPC_LOCK"), ("b", "NET_BIND_SERVICE"), ("c", "CHOWN")] {
        bed.create(&sandbox, adds(name, capability)).await.unwrap();
    }
    *bed.world.host_access.lock().unwrap() = HostAccess::Allowed;
    bed.create(&sandbox, adds("d", "ALL")).await.unwrap();
}

#[tokio::test]
async fn a_user_namespace_confines_only_if_it_maps_nothing_of_the_node_or_of_another_pod() {
    let bed = Bed::new();
    for (first, size) in [(0, 65_536), (0, 1), (1000, 1), (65_535, 65_536), (2_000_000_000, 1)] {
        denied(bed.run(mapped("bad", first, size)).await, &format!("host ids {first}-"));
    }
    let own = bed.run(mapped("own", 1 << 20, 65_536)).await.unwrap();
    bed.create(&own, adds("c", "ALL")).await.unwrap();
    denied(bed.run(mapped("other", (1 << 20) + 65_535, 65_536)).await, "another pod's");
    // Its next attempt has the same ids, and a pod that ended has none.
    let mut next = mapped("own", 1 << 20, 65_536);
    next.metadata.as_mut().unwrap().attempt = 1;
    let next = bed.run(next).await.unwrap();
    for id in [&own, &next] {
        bed.stop_pod(id).await.unwrap();
        bed.remove_pod(id).await.unwrap();
    }
    bed.run(mapped("other", 1 << 20, 65_536)).await.unwrap();
}

#[tokio::test]
async fn of_two_pods_that_want_the_same_ids_at_once_one_gets_them() {
    let bed = Bed::new();
    let (a, b) = tokio::join!(bed.run(mapped("a", 1 << 20, 65_536)), bed.run(mapped("b", 1 << 20, 65_536)));
    assert_ne!(a.is_ok(), b.is_ok(), "{a:?} {b:?}");
}

#[tokio::test]
async fn a_namespace_of_the_nodes_own_ids_that_was_allowed_once_confines_nothing() {
    let bed = Bed::new();
    *bed.world.host_access.lock().unwrap() = HostAccess::Allowed;
    let sandbox = bed.run(mapped("root", 0, 65_536)).await.unwrap();
    *bed.world.host_access.lock().unwrap() = HostAccess::Denied;
    denied(bed.create(&sandbox, adds("c", "SYS_ADMIN")).await, "CAP_SYS_ADMIN");
}

#[tokio::test]
async fn paths_that_show_the_node_stay_hidden_whatever_lists_are_sent() {
    let bed = Bed::new();
    let sandbox = bed.run(pod("web")).await.unwrap();
    let lists = |security: &mut Security| {
        (security.masked_paths, security.readonly_paths) = (vec!["/none".into()], vec!["/none".into()]);
    };
    bed.create(&sandbox, secured("c", lists)).await.unwrap();
    let linux = bed.pod(&sandbox).specs()[0].oci.linux().clone().unwrap();
    let (masked, readonly) = (linux.masked_paths().clone().unwrap(), linux.readonly_paths().clone().unwrap());
    assert!(
        masked.contains(&"/proc/kcore".into()) && readonly.contains(&"/proc/sys".into()),
        "{masked:?} {readonly:?}"
    );
}

#[tokio::test]
async fn a_mount_is_what_was_looked_at_even_if_the_path_leads_elsewhere_afterwards() {
    let bed = Bed::new();
    let sandbox = bed.run(pod("web")).await.unwrap();
    let pod_dir = bed.dir.path().join("kubelet/pods/web");
    let volume = pod_dir.join("volumes/kubernetes.io~empty-dir/data");
    std::fs::create_dir_all(&volume).unwrap();
    std::fs::create_dir_all(pod_dir.join("volume-subpaths/data/c/0")).unwrap();
    let linked = volume.join("link");
    std::os::unix::fs::symlink("/etc", &linked).unwrap();
    for path in
        [linked, "/etc".into(), pod_dir.clone(), pod_dir.join("absent"), pod_dir.join("volume-subpaths/data/c/0")]
    {
        denied(bed.create(&sandbox, mounts("c", &path)).await, &format!("hostPath {}", path.display()));
    }
    assert!(!pod_dir.join("absent").exists(), "nothing is made for a refused container");

    let looked_at = std::fs::metadata(&volume).unwrap();
    let going_on = bed.world.hold("stage");
    let moves = async {
        bed::eventually("staging", async || bed.world.done("stage") > 0).await;
        std::fs::rename(&volume, pod_dir.join("moved")).unwrap();
        std::os::unix::fs::symlink("/etc", &volume).unwrap();
        let source = bed.world.sources.lock().unwrap()[Path::new("/data")].clone();
        let mounted = std::fs::metadata(&source).unwrap();
        assert_eq!((mounted.dev(), mounted.ino()), (looked_at.dev(), looked_at.ino()), "{}", source.display());
        going_on.add_permits(1);
    };
    let (made, ()) = tokio::join!(bed.create(&sandbox, mounts("c", &volume)), moves);
    made.unwrap();
}

#[tokio::test]
async fn ids_that_the_kernel_takes_for_no_change_are_refused_by_field_before_anything_is_made() {
    let bed = Bed::new();
    *bed.world.host_access.lock().unwrap() = HostAccess::Allowed;
    let sandbox = bed.run(pod("web")).await.unwrap();
    let refused = async |config: cri::ContainerConfig, field: &str| {
        let status = bed.create(&sandbox, config).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        assert!(status.message().contains(field), "{status}");
    };
    for id in [-1, 1 << 31, 4_294_967_295] {
        let value = Some(cri::Int64Value { value: id });
        refused(secured("c", |s| s.run_as_user = value), "run_as_user").await;
        refused(
            secured("c", |s| (s.run_as_user, s.run_as_group) = (Some(cri::Int64Value::default()), value)),
            "run_as_group",
        )
        .await;
        refused(secured("c", |s| s.supplemental_groups = vec![0, id]), "supplemental_groups[1]").await;
    }
    let mut odd = mounts("c", Path::new("/tmp"));
    odd.mounts[0].uid_mappings = vec![cri::IdMapping { host_id: u32::MAX, container_id: 0, length: 1 }];
    refused(odd, "mounts[0].uidMappings[0]").await;
    let status = bed.run(mapped("odd", 1 << 31, 1)).await.unwrap_err();
    assert!(status.message().contains("userns_options.uids[0]"), "{status}");
    let mut config = pod("user");
    let user = Some(cri::Int64Value { value: -1 });
    let security = cri::LinuxSandboxSecurityContext { run_as_user: user, ..Default::default() };
    config.linux = Some(cri::LinuxPodSandboxConfig { security_context: Some(security), ..Default::default() });
    let status = bed.run(config).await.unwrap_err();
    assert!(status.code() == Code::InvalidArgument && status.message().contains("run_as_user"), "{status}");
}
