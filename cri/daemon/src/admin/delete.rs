//! Delete.

use std::sync::Arc;

use cofferdam_admin_api::v1::{DeleteRequest, DeleteResponse};
use cofferdam_netpolicy_watch::edit;
use tonic::Status;

use super::objects;
use crate::daemon::Daemon;

pub async fn delete(daemon: &Arc<Daemon>, request: DeleteRequest) -> Result<DeleteResponse, Status> {
    let objects = objects::edit(daemon, move |dir| edit::delete(dir, &request.file_name, &request.yaml)).await?;
    Ok(DeleteResponse { objects })
}
