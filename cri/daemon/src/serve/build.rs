//! Puts the parts together.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use cofferdam_cri_api::v1::CgroupDriver;
use cofferdam_cri_server::{Parts, Runtime, Settings, kept_pod_cidrs};
use cofferdam_namespace::NamespaceFactory;
use cofferdam_netpolicy::PolicySource as _;
use cofferdam_network::{BuiltinConfig, BuiltinNetwork};
use cofferdam_pod_client::Launcher;
use cofferdam_seccomp::Seccomp;
use cofferdam_store::Store;
use cofferdam_tenant_registry::{Refresh, SnapshotRegistry};
use cofferdam_vm::{Accel, VmConfig, VmFactory};

use super::image_seam::NodeImages;
use super::node::Node;
use super::{cgroups, files, images, policy};
use crate::config::{self, Config};
use crate::daemon::Daemon;

/// Builds everything; nothing is changed in the kernel but the claim of the table.
pub async fn build(config: Config, node: &Node) -> anyhow::Result<Daemon> {
    let pod_cidrs = kept_pod_cidrs(&config.state).context("the pod CIDRs that kubelet told")?;
    let pod_cidrs = pod_cidrs.unwrap_or_else(|| config.network.pod_cidrs.clone());
    // What can fail without having changed anything comes first; the table and its holder come last.
    let (namespaces, vms) = factories(&config)?;
    let store = Store::open(&config.root.join(files::STORE)).context("open the state")?;
    let images = Arc::new(images::open(&config)?);
    let network = Arc::new(BuiltinNetwork::new(BuiltinConfig {
        interface_prefix: config.network.interface_prefix.clone(),
        pod_cidrs: pod_cidrs.clone(),
        quarantine: config.state.join(files::QUARANTINE),
    })?);
    cgroups::make(cgroup_root(&config))?;
    files::private_dir(&config.state.join(files::PODS)).context("make the pods' directory")?;
    let policy = policy::start(&config, pod_cidrs)?;
    let system_namespaces = config.tenant.system_namespaces.iter().cloned().collect();
    let refresher = policy.source.refresher();
    let refresh: Refresh = Box::new(move || {
        let refresher = refresher.clone();
        Box::pin(async move { refresher.refresh().await })
    });
    let system = config.tenant.system.clone();
    let tenants = Arc::new(SnapshotRegistry::new(policy.source.snapshots(), refresh, system, system_namespaces));
    let parts = Parts {
        store,
        factories: vec![namespaces, vms.clone()],
        network: network.clone(),
        policy: policy.controller.clone(),
        tenants: tenants.clone(),
        images: Arc::new(NodeImages(images.clone())),
        seccomp: Arc::new(Seccomp::default()),
    };
    let runtime = Runtime::new(settings(&config, node), parts);
    let started = SystemTime::now();
    Ok(Daemon { config, runtime, policy, tenants, images, vms, started, network })
}

fn settings(config: &Config, node: &Node) -> Settings {
    Settings {
        state: config.state.clone(),
        root: config.root.clone(),
        cgroup_root: cgroup_root(config).to_owned(),
        cgroup_driver: driver(config),
        kubelet_root_dirs: config.kubelet.root_dirs.clone(),
        user_namespace_range: config.tenant.user_namespace_range.map(|[first, size]| (first, size)),
        vm_ids: (config.vm.first_uid, cofferdam_vm::UIDS),
        boot_id: node.boot_id.clone(),
    }
}

fn cgroup_root(config: &Config) -> &str {
    config.cgroup.root.trim_end_matches('/')
}

/// As sd_booted(3) decides it, unless the configuration does.
fn driver(config: &Config) -> CgroupDriver {
    let booted = || std::fs::symlink_metadata("/run/systemd/system").is_ok_and(|m| m.is_dir());
    match config.cgroup.driver {
        config::CgroupDriver::Systemd => CgroupDriver::Systemd,
        config::CgroupDriver::Auto if booted() => CgroupDriver::Systemd,
        config::CgroupDriver::Cgroupfs | config::CgroupDriver::Auto => CgroupDriver::Cgroupfs,
    }
}

/// One factory a kind of sandbox; they share the launcher of shims.
fn factories(config: &Config) -> anyhow::Result<(Arc<NamespaceFactory>, Arc<VmFactory>)> {
    let launcher = Arc::new(Launcher::new(&shim()?)?);
    let vm = VmConfig {
        image_dir: config.vm.image_dir.clone(),
        accel: match config.vm.accel {
            config::VmAccel::Auto => Accel::Auto,
            config::VmAccel::Kvm => Accel::Kvm,
            config::VmAccel::Tcg => Accel::Tcg,
        },
        qemu: config.vm.qemu.clone(),
        virtiofsd: config.vm.virtiofsd.clone(),
        boot_timeout: Duration::from_secs(config.vm.boot_timeout),
        first_uid: config.vm.first_uid,
    };
    Ok((Arc::new(NamespaceFactory::new(launcher.clone())), Arc::new(VmFactory::new(vm, launcher))))
}

/// The shim lies beside the daemon.
fn shim() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("find the daemon's own program")?;
    Ok(own.parent().unwrap_or(Path::new("/")).join("cofferdam-shim"))
}
