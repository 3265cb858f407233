//! The end of the daemon.

use anyhow::Context as _;

use super::node;
use crate::daemon::Daemon;

/// Pods go on without a daemon. With none left, nothing is left on the node.
pub async fn leave(daemon: &Daemon) -> anyhow::Result<()> {
    daemon.network.drain().await;
    if daemon.runtime.has_sandboxes() {
        tracing::info!("sandboxes go on; their rules stay in force");
        return Ok(());
    }
    daemon.network.leave().await?;
    daemon.policy.backend.shutdown().context("delete the nftables table")?;
    node::release(&daemon.config)
}
