//! kubelet and kube-proxy of the cluster's one node.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use cofferdam_test_support::{Cgroup, Daemon, NODE_NAME, UPLINK_V4, kubernetes_path};

use crate::addresses::{DNS_DOMAIN, DNS_SERVICE, POD_CIDR};
use crate::component::Component;
use crate::credentials::{Client, Credentials};

/// The node's agents. Dropping it kills them; pods stay.
#[derive(Debug)]
pub struct NodeAgents {
    proxy: Component,
    kubelet: Component,
    _cgroup: Cgroup,
}

impl NodeAgents {
    /// Starts both; neither has to be ready when this returns.
    pub fn start(daemon: &Daemon, dir: &Path, credentials: &Credentials) -> Result<Self> {
        let cgroup = Cgroup::create(&format!("{}-kubelet", daemon.cgroup_root()))?;
        let args = kubelet_args(daemon, dir, credentials, cgroup.path())?;
        let netns = &daemon.host().host;
        let kubelet = Component::start(netns, dir, "kubelet", &kubernetes_path("kubelet", "kubelet")?, &args)?;
        let program = kubernetes_path("kube-proxy", "control-plane")?;
        let proxy = Component::start(netns, dir, "kube-proxy", &program, &proxy_args(credentials))?;
        Ok(Self { proxy, kubelet, _cgroup: cgroup })
    }

    /// Asks until `check` says yes, as long as kubelet runs.
    pub fn wait(&mut self, what: &str, check: impl FnMut() -> Result<bool>) -> Result<()> {
        self.kubelet.wait(what, check)
    }

    /// The same for kube-proxy.
    pub fn wait_proxy(&mut self, what: &str, check: impl FnMut() -> Result<bool>) -> Result<()> {
        self.proxy.wait(what, check)
    }

    /// Ends both.
    pub fn stop(self) -> Result<()> {
        self.proxy.stop()?;
        self.kubelet.stop()
    }
}

/// The configuration as shipped and a drop-in of what belongs to this cluster and this machine.
fn kubelet_args(daemon: &Daemon, dir: &Path, credentials: &Credentials, cgroup: &str) -> Result<Vec<String>> {
    let root = daemon.kubelet_dir();
    let drop_ins = dir.join("kubelet.conf.d");
    for dir in [&root, &drop_ins] {
        fs::create_dir_all(dir)?;
    }
    // Names outside the cluster are answered by nobody: nothing may depend on the machine's resolver.
    let resolver = dir.join("resolv.conf");
    fs::write(&resolver, "nameserver 192.0.2.1\n")?;
    fs::write(drop_ins.join("50-test.conf"), drop_in(daemon, &resolver, &credentials.authority(), cgroup))?;
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../manifests/kubelet/config.yaml");
    let shipped = shipped.canonicalize().with_context(|| shipped.display().to_string())?;
    let paths: [(&str, PathBuf); 5] = [
        ("config", shipped),
        ("config-dir", drop_ins),
        ("root-dir", root.clone()),
        ("cert-dir", root.join("pki")),
        ("kubeconfig", credentials.kubeconfig(Client::Kubelet)),
    ];
    let mut args: Vec<String> = paths.iter().map(|(flag, path)| format!("--{flag}={}", path.display())).collect();
    args.extend([format!("--hostname-override={NODE_NAME}"), format!("--node-ip={UPLINK_V4}"), "--v=2".to_owned()]);
    Ok(args)
}

fn drop_in(daemon: &Daemon, resolver: &Path, authority: &Path, cgroup: &str) -> String {
    format!(
        "apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix://{socket}
podLogsDir: {logs}
cgroupDriver: cgroupfs
cgroupRoot: {cgroup}
failCgroupV1: false
failSwapOn: false
address: {UPLINK_V4}
authentication: {{anonymous: {{enabled: false}}, webhook: {{enabled: true}}, x509: {{clientCAFile: '{authority}'}}}}
authorization: {{mode: Webhook}}
clusterDNS: [{DNS_SERVICE}]
clusterDomain: {DNS_DOMAIN}
resolvConf: {resolver}
# The machine's memory and disk are shared with whatever else runs on it.
evictionHard: {{memory.available: 10Mi, nodefs.available: 1%, imagefs.available: 1%}}
imageGCHighThresholdPercent: 100
",
        socket = daemon.socket().display(),
        logs = daemon.kubelet_dir().join("logs").display(),
        authority = authority.display(),
        resolver = resolver.display(),
    )
}

/// The limits of connection tracking belong to the whole machine, not to a network namespace: they are left alone.
fn proxy_args(credentials: &Credentials) -> Vec<String> {
    vec![
        format!("--kubeconfig={}", credentials.kubeconfig(Client::Proxy).display()),
        format!("--hostname-override={NODE_NAME}"),
        format!("--cluster-cidr={POD_CIDR}"),
        "--proxy-mode=nftables".to_owned(),
        "--conntrack-max-per-core=0".to_owned(),
        "--conntrack-tcp-timeout-established=0s".to_owned(),
        "--conntrack-tcp-timeout-close-wait=0s".to_owned(),
    ]
}
