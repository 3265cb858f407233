//! The keys and their defaults. An unknown key is an error.

use std::path::PathBuf;

use cofferdam_tenant::{HostAccess, Isolation, TenantSpec};
use ipnetwork::{IpNetwork, Ipv6Network};
use serde::{Deserialize, Serialize};

/// The whole configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// CRI and admin socket, mode 0600.
    pub socket: PathBuf,
    /// Durable root: images, writable layers, state.
    pub root: PathBuf,
    /// Run state: one directory a pod.
    pub state: PathBuf,
    /// Image registries.
    pub registry: Registry,
    /// Pod network.
    pub network: Network,
    /// cgroups.
    pub cgroup: Cgroup,
    /// kubelet.
    pub kubelet: Kubelet,
    /// Where Namespaces, Tenants and policies come from.
    pub cluster: Cluster,
    /// `[tenant]`: the tenants that the configuration defines, and what an unlabelled namespace is.
    pub tenant: Tenants,
    /// VM sandboxes.
    pub vm: Vm,
    /// Exec, attach and port-forward.
    pub streaming: Streaming,
    /// Images that are never removed.
    pub images: Images,
    /// The daemon's own log.
    pub log: Log,
    /// Prometheus metrics.
    pub metrics: Metrics,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            socket: "/run/cofferdam/cofferdam.sock".into(),
            root: "/var/lib/cofferdam".into(),
            state: "/run/cofferdam".into(),
            registry: Registry::default(),
            network: Network::default(),
            cgroup: Cgroup::default(),
            kubelet: Kubelet::default(),
            cluster: Cluster::default(),
            tenant: Tenants::default(),
            vm: Vm::default(),
            streaming: Streaming::default(),
            images: Images::default(),
            log: Log::default(),
            metrics: Metrics::default(),
        }
    }
}

/// `[registry]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Registry {
    /// Directory with `HOST/hosts.toml` for each registry host.
    pub config_path: PathBuf,
}

impl Default for Registry {
    fn default() -> Self {
        Registry { config_path: "/etc/cofferdam/certs.d".into() }
    }
}

/// `[images]`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Images {
    /// References that garbage collection and RemoveImage keep.
    pub pinned: Vec<String>,
}

/// Who makes pod networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkMode {
    /// Cofferdam's routed interfaces.
    #[default]
    Builtin,
    /// CNI plugins. Not supported yet: refused.
    Cni,
}

/// `[network]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Network {
    /// Who makes pod networks.
    pub mode: NetworkMode,
    /// Pod addresses; UpdateRuntimeConfig overrides.
    pub pod_cidrs: Vec<IpNetwork>,
    /// Name of the nftables table (family inet).
    pub nft_table: String,
    /// What names of pod interfaces begin with; at most 4 bytes.
    pub interface_prefix: String,
    /// Prefixes by which this network's NAT64 is reached, beside 64:ff9b::/96.
    pub nat64_prefixes: Vec<Ipv6Network>,
    /// For `mode = "cni"`.
    pub cni_conf_dir: PathBuf,
    /// For `mode = "cni"`.
    pub cni_bin_dirs: Vec<PathBuf>,
}

impl Default for Network {
    fn default() -> Self {
        // A literal network of fixed text parses.
        let cidr = |text: &str| text.parse().ok();
        Network {
            mode: NetworkMode::Builtin,
            pod_cidrs: [cidr("10.88.0.0/16"), cidr("fd88::/64")].into_iter().flatten().collect(),
            nft_table: "cofferdam".into(),
            interface_prefix: "cfd".into(),
            nat64_prefixes: Vec::new(),
            cni_conf_dir: "/etc/cni/net.d".into(),
            cni_bin_dirs: vec!["/opt/cni/bin".into(), "/usr/lib/cni".into()],
        }
    }
}

/// Who makes pods' cgroups; kubelet is told by RuntimeConfig.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CgroupDriver {
    /// systemd on a node that was booted with it, else cgroupfs.
    #[default]
    Auto,
    /// kubelet makes directories.
    Cgroupfs,
    /// kubelet makes slices.
    Systemd,
}

/// `[cgroup]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cgroup {
    /// Shims, and pods without a cgroup parent, live below it.
    pub root: String,
    /// How kubelet names pods' cgroups.
    pub driver: CgroupDriver,
}

impl Default for Cgroup {
    fn default() -> Self {
        Cgroup { root: "/cofferdam".into(), driver: CgroupDriver::Auto }
    }
}

/// `[kubelet]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Kubelet {
    /// A mount from elsewhere is a hostPath.
    pub root_dirs: Vec<PathBuf>,
}

impl Default for Kubelet {
    fn default() -> Self {
        Kubelet { root_dirs: vec!["/var/lib/kubelet".into()] }
    }
}

/// Where cluster objects come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClusterSource {
    /// `*.yaml` of a directory.
    #[default]
    Directory,
    /// The API server.
    Kubernetes,
}

/// `[cluster]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cluster {
    /// Which source.
    pub source: ClusterSource,
    /// For `source = "directory"`.
    pub directory: PathBuf,
    /// For `source = "kubernetes"`; unset: in-cluster or the usual places.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubeconfig: Option<PathBuf>,
    /// With a directory: addresses of the API server, `IP:PORT`.
    pub api_server: Vec<std::net::SocketAddr>,
    /// With a directory: Service addresses.
    pub service_cidrs: Vec<IpNetwork>,
    /// With a directory: node addresses; own ones are always included.
    pub node_cidrs: Vec<IpNetwork>,
    /// With a directory: pod addresses of the whole cluster, the only ones that Pod objects may claim; empty: any
    /// private ones.
    pub pod_cidrs: Vec<IpNetwork>,
}

impl Default for Cluster {
    fn default() -> Self {
        Cluster {
            source: ClusterSource::Directory,
            directory: "/etc/cofferdam/cluster.d".into(),
            kubeconfig: None,
            api_server: Vec::new(),
            service_cidrs: Vec::new(),
            node_cidrs: Vec::new(),
            pod_cidrs: Vec::new(),
        }
    }
}

/// Namespaces without a tenant label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unlabelled {
    /// Fall under the tenant `default`.
    #[default]
    Default,
    /// Are refused.
    Refuse,
}

/// `[tenant]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tenants {
    /// Namespaces without a label.
    pub unlabelled: Unlabelled,
    /// Namespaces of the tenant `system`.
    pub system_namespaces: Vec<String>,
    /// Host ids for user namespaces that a tenant requires: first and number. No default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_namespace_range: Option<[u32; 2]>,
    /// The tenant `default`.
    pub default: TenantSpec,
    /// The tenant `system`.
    pub system: TenantSpec,
}

impl Default for Tenants {
    fn default() -> Self {
        let mut default = TenantSpec::default();
        default.network.isolation = Isolation::Open;
        let mut system = TenantSpec { host_access: HostAccess::Allowed, ..TenantSpec::default() };
        system.network.isolation = Isolation::Open;
        system.network.allow_to = vec![cofferdam_tenant::AllowTo { tenant: Some("*".into()), ..Default::default() }];
        Tenants {
            unlabelled: Unlabelled::Default,
            system_namespaces: vec!["kube-system".into()],
            user_namespace_range: None,
            default,
            system,
        }
    }
}

/// How VMs are accelerated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VmAccel {
    /// KVM where it works, else emulation with a warning.
    #[default]
    Auto,
    /// KVM or nothing.
    Kvm,
    /// Emulation.
    Tcg,
}

/// `[vm]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Vm {
    /// Kernel and initramfs, as `cofferdam vm-image build` writes them.
    pub image_dir: PathBuf,
    /// Acceleration.
    pub accel: VmAccel,
    /// The emulator.
    pub qemu: PathBuf,
    /// The virtiofs daemon.
    pub virtiofsd: PathBuf,
    /// Seconds a VM may take to boot.
    pub boot_timeout: u64,
    /// First UID of the VMs' own: each has one. A second daemon on the node needs another range.
    pub first_uid: u32,
}

impl Default for Vm {
    fn default() -> Self {
        Vm {
            image_dir: "/var/lib/cofferdam/vm".into(),
            accel: VmAccel::Auto,
            qemu: "/usr/bin/qemu-system-x86_64".into(),
            virtiofsd: "/usr/lib/qemu/virtiofsd".into(),
            boot_timeout: 120,
            first_uid: 2_000_000_000,
        }
    }
}

/// `[streaming]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Streaming {
    /// Where kubelet connects to: a loopback address; port 0 takes a free one.
    pub address: std::net::SocketAddr,
}

impl Default for Streaming {
    fn default() -> Self {
        Streaming { address: std::net::SocketAddr::from(([127, 0, 0, 1], 0)) }
    }
}

/// `[log]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter by module.
    pub level: String,
}

impl Default for Log {
    fn default() -> Self {
        Log { level: "info".into() }
    }
}

/// `[metrics]`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Metrics {
    /// Where metrics are served; empty: nowhere. Nothing is served yet, and `status` says so of an address.
    pub address: String,
}
