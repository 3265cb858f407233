//! etcd and the components of the control plane, on one node and for one node.

use std::path::Path;

use anyhow::Result;
use cofferdam_test_support::{Host, UPLINK_V4, kubernetes_path, output_of};

use crate::addresses::{API_PORT, DNS_DOMAIN, ETCD, POD_CIDR, SERVICE_CIDR, api_url};
use crate::component::Component;
use crate::credentials::{Client, Credentials};
use crate::tools;

/// The running control plane, in the order in which it ends.
#[derive(Debug)]
pub struct ControlPlane {
    scheduler: Component,
    controller_manager: Component,
    api_server: Component,
    etcd: Component,
}

impl ControlPlane {
    /// Starts all of it and waits until the API is served.
    pub fn start(host: &Host, dir: &Path, credentials: &Credentials) -> Result<Self> {
        let start = |name, program: &str, args: Vec<String>| {
            Component::start(&host.host, dir, name, &kubernetes_path(program, "control-plane")?, &args)
        };
        let mut etcd = Component::start(&host.host, dir, "etcd", &tools::etcd()?, &etcd_args(dir))?;
        etcd.wait("healthy", || healthy(host, credentials, &format!("{ETCD}/health")))?;
        let mut api_server = start("kube-apiserver", "kube-apiserver", api_server_args(credentials))?;
        api_server.wait("ready", || healthy(host, credentials, &format!("{}/readyz", api_url())))?;
        let controller_manager =
            start("kube-controller-manager", "kube-controller-manager", controller_manager_args(credentials))?;
        let scheduler = start("kube-scheduler", "kube-scheduler", scheduler_args(credentials))?;
        Ok(Self { scheduler, controller_manager, api_server, etcd })
    }

    /// Ends all of it.
    pub fn stop(self) -> Result<()> {
        for component in [self.scheduler, self.controller_manager, self.api_server, self.etcd] {
            component.stop()?;
        }
        Ok(())
    }
}

/// A GET that has to be answered with 200.
fn healthy(host: &Host, credentials: &Credentials, url: &str) -> Result<bool> {
    let netns = format!("--net={}", host.host.path().display());
    let authority = credentials.authority().display().to_string();
    let args = [
        &netns,
        "curl",
        "--silent",
        "--show-error",
        "--fail-with-body",
        "--max-time",
        "30",
        "--cacert",
        &authority,
        url,
    ];
    output_of("nsenter", args)?.ok().map(|_| true)
}

/// The times are for disks and processors that others use as well.
fn etcd_args(dir: &Path) -> Vec<String> {
    let peer = "http://127.0.0.1:2380";
    vec![
        format!("--data-dir={}", dir.join("etcd").display()),
        format!("--listen-client-urls={ETCD}"),
        format!("--advertise-client-urls={ETCD}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
        "--heartbeat-interval=1000".to_owned(),
        "--election-timeout=10000".to_owned(),
        "--logger=zap".to_owned(),
        "--log-level=warn".to_owned(),
    ]
}

fn api_server_args(credentials: &Credentials) -> Vec<String> {
    let [certificate, key] = credentials.server();
    let [kubelet_certificate, kubelet_key] = credentials.kubelet_client();
    let [private, public] = credentials.service_accounts();
    let files = [
        ("tls-cert-file", certificate),
        ("tls-private-key-file", key),
        ("kubelet-client-certificate", kubelet_certificate),
        ("kubelet-client-key", kubelet_key),
        ("service-account-signing-key-file", private),
        ("service-account-key-file", public),
        ("client-ca-file", credentials.authority()),
        ("token-auth-file", credentials.tokens()),
    ];
    let mut args: Vec<String> = files.iter().map(|(flag, path)| format!("--{flag}={}", path.display())).collect();
    args.extend([
        format!("--etcd-servers={ETCD}"),
        format!("--advertise-address={UPLINK_V4}"),
        format!("--secure-port={API_PORT}"),
        format!("--service-cluster-ip-range={SERVICE_CIDR}"),
        format!("--service-account-issuer=https://kubernetes.default.svc.{DNS_DOMAIN}"),
        "--authorization-mode=Node,RBAC".to_owned(),
        "--enable-admission-plugins=NodeRestriction".to_owned(),
        "--kubelet-preferred-address-types=InternalIP".to_owned(),
        "--allow-privileged=true".to_owned(),
    ]);
    args
}

/// No node is given up because its lease is late: there is only one, and the machine may be slow.
fn controller_manager_args(credentials: &Credentials) -> Vec<String> {
    let [private, _] = credentials.service_accounts();
    let mut args = client_args(credentials, Client::ControllerManager);
    args.extend([
        format!("--service-account-private-key-file={}", private.display()),
        format!("--root-ca-file={}", credentials.authority().display()),
        format!("--cluster-signing-cert-file={}", credentials.authority().display()),
        format!("--cluster-signing-key-file={}", credentials.authority_key().display()),
        format!("--cluster-cidr={POD_CIDR}"),
        format!("--service-cluster-ip-range={SERVICE_CIDR}"),
        "--allocate-node-cidrs=true".to_owned(),
        "--use-service-account-credentials=true".to_owned(),
        "--node-monitor-grace-period=10m".to_owned(),
    ]);
    args
}

fn scheduler_args(credentials: &Credentials) -> Vec<String> {
    client_args(credentials, Client::Scheduler)
}

/// What the controller manager and the scheduler have in common; each is the only one of its kind.
fn client_args(credentials: &Credentials, client: Client) -> Vec<String> {
    let kubeconfig = credentials.kubeconfig(client).display().to_string();
    vec![
        format!("--kubeconfig={kubeconfig}"),
        format!("--authentication-kubeconfig={kubeconfig}"),
        format!("--authorization-kubeconfig={kubeconfig}"),
        "--leader-elect=false".to_owned(),
        "--bind-address=127.0.0.1".to_owned(),
    ]
}
