//! The policy engine: the directory of cluster objects, the nftables table and its holder, the controller between them.

use std::sync::Arc;

use anyhow::Context as _;
use cofferdam_netpolicy::NodeConfig;
use cofferdam_netpolicy_controller::Controller;
use cofferdam_netpolicy_nft::{HolderCommand, NftBackend};
use cofferdam_netpolicy_watch::{DirectorySource, SourceConfig};
use ipnetwork::IpNetwork;

use super::{addresses, files, reexec};
use crate::config::{Config, Unlabelled};
use crate::daemon::Policy;

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
    Ok(Policy { source, backend, controller })
}
