//! PolicyShow: what the kernel holds, read by a socket of its own.

use std::sync::Arc;

use cofferdam_admin_api::v1::PolicyShowResponse;
use tonic::Status;

use crate::daemon::Daemon;

pub async fn show(daemon: &Arc<Daemon>) -> Result<PolicyShowResponse, Status> {
    let daemon = daemon.clone();
    let read = tokio::task::spawn_blocking(move || daemon.policy.backend.show(&daemon.policy.controller.ruleset()));
    let read = read.await.map_err(|error| Status::internal(error.to_string()))?;
    Ok(PolicyShowResponse { rules: read.map_err(|error| Status::internal(error.to_string()))? })
}
