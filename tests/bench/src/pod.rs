//! The pod that every runtime gets: as kubelet describes one with limits, RuntimeDefault seccomp and a cgroup made
//! beforehand.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Result;
use cofferdam_cri_api::v1 as cri;
use cofferdam_test_support::{Cgroup, image};

/// One pod; its cgroup goes when it is dropped.
#[derive(Debug)]
pub struct Pod {
    number: u32,
    cgroup: Cgroup,
    logs: String,
}

impl Pod {
    /// A new name, and a cgroup below `cgroup_root` as kubelet makes it. Logs go below `dir`.
    pub fn new(cgroup_root: &str, dir: &Path) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let logs = dir.join(format!("logs/{number}"));
        std::fs::create_dir_all(&logs)?;
        let cgroup = Cgroup::create(&format!("{cgroup_root}/pod{number}"))?;
        Ok(Self { number, cgroup, logs: logs.display().to_string() })
    }

    /// For RunPodSandbox.
    pub fn sandbox(&self) -> cri::PodSandboxConfig {
        let (name, uid) = (format!("bench-{}", self.number), format!("00000000-0000-4000-8000-{:012}", self.number));
        let labels = [("name", &name), ("namespace", &"default".to_owned()), ("uid", &uid)]
            .map(|(key, value)| (format!("io.kubernetes.pod.{key}"), value.clone()));
        cri::PodSandboxConfig {
            metadata: Some(cri::PodSandboxMetadata {
                name: name.clone(),
                uid,
                namespace: "default".into(),
                attempt: 0,
            }),
            hostname: name,
            log_directory: self.logs.clone(),
            labels: HashMap::from(labels),
            linux: Some(cri::LinuxPodSandboxConfig {
                cgroup_parent: self.cgroup.path().to_owned(),
                security_context: Some(cri::LinuxSandboxSecurityContext {
                    namespace_options: Some(namespaces()),
                    seccomp: Some(runtime_default()),
                    ..Default::default()
                }),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    /// For CreateContainer.
    pub fn container(&self) -> cri::ContainerConfig {
        cri::ContainerConfig {
            metadata: Some(cri::ContainerMetadata { name: "main".into(), attempt: 0 }),
            image: Some(cri::ImageSpec { image: image("busybox"), ..Default::default() }),
            command: vec!["sleep".into(), "100000".into()],
            log_path: "main.log".into(),
            linux: Some(cri::LinuxContainerConfig {
                resources: Some(cri::LinuxContainerResources {
                    cpu_period: 100_000,
                    cpu_quota: 50_000,
                    cpu_shares: 512,
                    memory_limit_in_bytes: 128 << 20,
                    oom_score_adj: 900,
                    ..Default::default()
                }),
                security_context: Some(cri::LinuxContainerSecurityContext {
                    namespace_options: Some(namespaces()),
                    seccomp: Some(runtime_default()),
                    no_new_privs: true,
                    ..Default::default()
                }),
            }),
            ..Default::default()
        }
    }
}

fn namespaces() -> cri::NamespaceOption {
    cri::NamespaceOption { pid: cri::NamespaceMode::Container.into(), ..Default::default() }
}

fn runtime_default() -> cri::SecurityProfile {
    let profile_type = cri::security_profile::ProfileType::RuntimeDefault.into();
    cri::SecurityProfile { profile_type, localhost_ref: String::new() }
}
