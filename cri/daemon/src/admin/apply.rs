//! Apply.

use std::sync::Arc;

use cofferdam_admin_api::v1::{ApplyRequest, ApplyResponse};
use cofferdam_netpolicy_watch::edit;
use tonic::Status;

use super::objects;
use crate::daemon::Daemon;

pub async fn apply(daemon: &Arc<Daemon>, request: ApplyRequest) -> Result<ApplyResponse, Status> {
    let objects = objects::edit(daemon, move |dir| edit::apply(dir, &request.file_name, &request.yaml)).await?;
    Ok(ApplyResponse { objects })
}
