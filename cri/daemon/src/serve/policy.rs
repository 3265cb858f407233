//! The policy engine: the directory of cluster objects, the nftables table and its holder, the controller between them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use cofferdam_netpolicy::NodeConfig;
use cofferdam_netpolicy_controller::Controller;
use cofferdam_netpolicy_nft::{HolderCommand, NftBackend, Watch, watch};
use cofferdam_netpolicy_watch::{DirectorySource, SourceConfig};
use ipnetwork::IpNetwork;
use tokio::sync::Notify;

use super::{addresses, files, reexec};
use crate::config::{Config, Unlabelled};
use crate::daemon::Policy;

/// Between tries to set the table again.
const RETRY: Duration = Duration::from_millis(100);

/// What of the configuration goes into the snapshots.
pub fn source_config(config: &Config) -> SourceConfig {
    SourceConfig {
        default_tenant: config.tenant.default.clone(),
        system_tenant: config.tenant.system.clone(),
        system_namespaces: config.tenant.system_namespaces.iter().cloned().collect(),
        refuse_unlabelled: config.tenant.unlabelled == Unlabelled::Refuse,
        api_servers: config.cluster.api_server.clone(),
        service_cidrs: config.cluster.service_cidrs.clone(),
        node_cidrs: config.cluster.node_cidrs.clone(),
        pod_cidrs: config.cluster.pod_cidrs.clone(),
    }
}

/// Reads the directory and takes the table. The kernel's rules stay as they are until recovery.
pub fn start(config: &Config, pod_cidrs: Vec<IpNetwork>) -> anyhow::Result<Policy> {
    let directory = &config.cluster.directory;
    let kept = config.state.join(files::CLUSTER_OBJECTS);
    let source = DirectorySource::start(directory, Some(&kept), source_config(config))
        .with_context(|| format!("cluster.directory {}", directory.display()))?;
    let holder =
        HolderCommand { program: reexec::SELF.into(), args: vec![reexec::HOLDER.into()], state: config.state.clone() };
    let table = &config.network.nft_table;
    let backend = NftBackend::open(table, Some(holder)).with_context(|| format!("network.nft_table {table:?}"))?;
    let backend = Arc::new(backend);
    // The node's address in each pod CIDR comes only with recovery.
    let mut addresses = addresses::own()?;
    addresses.extend(pod_cidrs.iter().map(|cidr| cofferdam_network::ipam::node_address(*cidr)));
    let node = NodeConfig {
        table: table.clone(),
        interface_prefix: config.network.interface_prefix.clone(),
        pod_cidrs,
        addresses,
        nat64_prefixes: config.network.nat64_prefixes.clone(),
    };
    let controller = Arc::new(Controller::start(backend.clone(), &source, node));
    let watch = keep_whole(&backend, &controller, &config.network.interface_prefix)?;
    Ok(Policy { source, backend, controller, _watch: watch })
}

/// Sets the table again whenever another program changed it.
fn keep_whole(backend: &Arc<NftBackend>, controller: &Arc<Controller>, prefix: &str) -> anyhow::Result<Watch> {
    let harm = Arc::new(Notify::new());
    let (controller, harmed) = (Arc::downgrade(controller), harm.clone());
    tokio::spawn(async move {
        loop {
            harmed.notified().await;
            let Some(controller) = controller.upgrade() else { return };
            while let Err(error) = controller.reread().await {
                tracing::error!(%error, "the nftables table is not whole");
                tokio::time::sleep(RETRY).await;
            }
        }
    });
    watch(backend.clone(), prefix.to_owned(), move || harm.notify_one()).context("watch the nftables table")
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use cofferdam_netpolicy::backend::RuleBackend as _;
    use cofferdam_netpolicy::{LocalPod, PolicyEngine as _};
    use cofferdam_test_support::{Netns, eventually, needs};

    use super::*;

    /// As on a kernel without the owner flag.
    #[needs(root)]
    #[test]
    fn a_table_that_another_program_flushes_is_whole_again() {
        let (ns, dir) = (Netns::new().unwrap(), tempfile::tempdir().unwrap());
        let runtime = ns.run(|| tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(1).build());
        let runtime = runtime.unwrap();
        ns.run(|| {
            let _entered = runtime.enter();
            let source = DirectorySource::start(dir.path(), None, SourceConfig::default()).unwrap();
            let backend = Arc::new(NftBackend::open_unowned("t").unwrap());
            let node = NodeConfig {
                table: "t".into(),
                interface_prefix: "cfd".into(),
                pod_cidrs: vec!["10.88.0.0/16".parse().unwrap()],
                addresses: vec!["10.88.0.1".parse().unwrap()],
                nat64_prefixes: Vec::new(),
            };
            let controller = Arc::new(Controller::start(backend.clone(), &source, node));
            let pod = LocalPod {
                sandbox_id: "a".into(),
                namespace: "default".into(),
                name: "a".into(),
                uid: "u".into(),
                labels: Default::default(),
                addresses: vec![IpAddr::from([10, 88, 0, 2])],
                interface: "cfd0".into(),
                tenant: "default".into(),
                host_network: false,
                ports: Vec::new(),
            };
            runtime.block_on(controller.restore(vec![pod])).unwrap();
            let _watch = keep_whole(&backend, &controller, "cfd").unwrap();
            let whole = backend.read().unwrap();
            for change in
                [&["flush", "ruleset"][..], &["delete", "table", "inet", "t"], &["flush", "table", "inet", "t"]]
            {
                ns.nft(change).unwrap();
                eventually("the table as it was", || backend.read().is_ok_and(|now| now == whole)).unwrap();
            }
        });
    }
}
