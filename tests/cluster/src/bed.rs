//! The cluster, from nothing to ready and back.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use cofferdam_test_images::{recipes, storage_of};
use cofferdam_test_support::{Daemon, NODE_NAME, Snapshot, UPLINK_V4, eventually};

use crate::addons;
use crate::addresses::{API_PORT, POD_CIDR, SERVICE_CIDR};
use crate::control_plane::ControlPlane;
use crate::credentials::{Client, Credentials};
use crate::kubectl::Kubectl;
use crate::node::NodeAgents;

/// A cluster of one node. Dropping it ends every process and removes what is left, also after a failed assertion.
#[derive(Debug)]
pub struct Cluster {
    // In the order in which they end.
    node: NodeAgents,
    control_plane: ControlPlane,
    credentials: Credentials,
    daemon: Daemon,
    dir: PathBuf,
    clean: Snapshot,
}

impl Cluster {
    /// Starts everything and waits until the node is ready and Services work. No pod runs yet.
    pub fn start(name: &str) -> Result<Self> {
        let images = storage_of(&recipes::cluster::SET)?;
        let daemon =
            Daemon::builder(name).config(&daemon_config()).images(&images).mirror("registry.k8s.io").start()?;
        let dir = daemon.dir().join("kubernetes");
        let credentials = Credentials::create(&dir.join("credentials"))?;
        let control_plane = ControlPlane::start(daemon.host(), &dir, &credentials)?;
        let node = NodeAgents::start(&daemon, &dir, &credentials)?;
        let clean = daemon.snapshot()?;
        let mut cluster = Self { node, control_plane, credentials, daemon, dir, clean };
        cluster.wait_node()?;
        cluster.clean = cluster.daemon.snapshot()?;
        Ok(cluster)
    }

    /// Starts the cluster's DNS and waits until it answers.
    pub fn start_dns(&self) -> Result<()> {
        let kubectl = self.kubectl();
        kubectl.apply("coredns", &addons::coredns())?;
        kubectl
            .wait_condition(&["deployment", "coredns", "--namespace=kube-system"], "Available")
            .with_context(|| kubectl.run(&["get", "events", "--namespace=kube-system"]).unwrap_or_default())
    }

    /// kubectl, allowed to do everything.
    pub fn kubectl(&self) -> Kubectl {
        Kubectl::new(self.daemon.host().host.path(), &self.kubeconfig(), &self.dir)
    }

    /// The kubeconfig of the administrator.
    pub fn kubeconfig(&self) -> PathBuf {
        self.credentials.kubeconfig(Client::Admin)
    }

    /// The runtime under test.
    pub fn daemon(&self) -> &Daemon {
        &self.daemon
    }

    /// The directory of the cluster's logs and files.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Removes the cluster's DNS, waits until every namespace that a test made and every pod is gone, ends the
    /// components in order and checks that nothing is held that was not there before the first pod.
    pub fn stop(self) -> Result<()> {
        let kubectl = self.kubectl();
        kubectl.run(&["delete", "deployment", "coredns", "--namespace=kube-system", "--ignore-not-found"])?;
        eventually("the namespaces of the tests are gone", || {
            let names = kubectl.run(&["get", "namespaces", "-o", "name"])?;
            let known = ["default", "kube-system", "kube-public", "kube-node-lease"];
            let left: Vec<&str> =
                names.lines().filter(|line| !known.contains(&line.trim_start_matches("namespace/"))).collect();
            if left.is_empty() { Ok(true) } else { bail!("left: {left:?}") }
        })?;
        self.wait_no_pods()?;
        self.node.stop()?;
        self.control_plane.stop()?;
        self.daemon.wait_clean(&self.clean)
    }

    /// Waits until no sandbox is left.
    fn wait_no_pods(&self) -> Result<()> {
        eventually("every pod is removed", || {
            let pods = self.daemon.cli(&["pods", "-o", "json"])?.ok()?;
            if pods.trim() == "[]" { Ok(true) } else { bail!("left: {pods}") }
        })
    }

    fn wait_node(&mut self) -> Result<()> {
        let kubectl = self.kubectl();
        self.node.wait("the node is ready", || {
            let node = kubectl.get(&["node", NODE_NAME])?;
            let mut conditions = node["status"]["conditions"].as_array().into_iter().flatten();
            let ready = conditions.any(|one| one["type"] == "Ready" && one["status"] == "True");
            if ready { Ok(true) } else { bail!("{}", node["status"]["conditions"]) }
        })?;
        let netns = &self.daemon.host().host;
        self.node.wait_proxy("the Service kubernetes is in the kernel", || {
            let table = netns.nft(&["list", "table", "ip", "kube-proxy"])?;
            Ok(table.contains("default/kubernetes/tcp/https"))
        })?;
        self.node.wait("the runtime knows the node's part of the pod addresses", || {
            Ok(self.daemon.state().join("pod-cidrs").exists())
        })?;
        eventually("the default service account is there", || {
            kubectl.get(&["serviceaccount", "default", "--namespace=default"]).map(|_| true)
        })
    }
}

/// What an API server would tell the daemon, and tenants that may do what upstream's tests do on their node.
fn daemon_config() -> String {
    format!(
        "[cluster]
api_server = [\"{UPLINK_V4}:{API_PORT}\"]
service_cidrs = [\"{SERVICE_CIDR}\"]

[network]
pod_cidrs = [\"{POD_CIDR}\"]

[tenant.default]
hostAccess = \"Allowed\"

[tenant.default.network]
isolation = \"Open\"
"
    )
}
