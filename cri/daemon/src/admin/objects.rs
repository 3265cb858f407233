//! What Apply and Delete share.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cofferdam_admin_api::v1::{ObjectOutcome, ObjectRef, Outcome};
use cofferdam_netpolicy_watch::edit::{self, EditError, Edited};
use tonic::Status;

use crate::daemon::Daemon;

/// How long the new snapshot is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Changes the source directory, and answers once the change is what tenants and policies are taken from: a pod that is
/// run next already has the tenant that was applied.
pub async fn edit(
    daemon: &Arc<Daemon>,
    change: impl FnOnce(&Path) -> Result<Vec<Edited>, EditError> + Send + 'static,
) -> Result<Vec<ObjectOutcome>, Status> {
    let directory = daemon.config.cluster.directory.clone();
    let done = tokio::task::spawn_blocking(move || change(&directory).map_err(refused));
    let edited = done.await.map_err(|error| Status::internal(error.to_string()))??;
    let same = |e: &Edited| matches!(e.outcome, edit::Outcome::Unchanged | edit::Outcome::Absent);
    if !edited.iter().all(same) {
        let refresher = daemon.policy.source.refresher();
        let read = tokio::time::timeout(PATIENCE, refresher.refresh_after_removal()).await;
        read.map_err(|_| Status::unavailable("written, and not in force yet: the source directory is not read"))?;
    }
    Ok(edited.into_iter().map(outcome).collect())
}

fn refused(error: EditError) -> Status {
    match error {
        EditError::Input(_) => Status::invalid_argument(error.to_string()),
        EditError::Elsewhere { .. } => Status::failed_precondition(error.to_string()),
        EditError::Io { .. } => Status::internal(error.to_string()),
    }
}

fn outcome(edited: Edited) -> ObjectOutcome {
    let (kind, namespace, name) = edited.key;
    let outcome = match edited.outcome {
        edit::Outcome::Created => Outcome::Created,
        edit::Outcome::Changed => Outcome::Changed,
        edit::Outcome::Unchanged => Outcome::Unchanged,
        edit::Outcome::Deleted => Outcome::Deleted,
        edit::Outcome::Absent => Outcome::Absent,
    };
    ObjectOutcome {
        object: Some(ObjectRef { kind: kind.into(), namespace, name }),
        outcome: outcome.into(),
        path: edited.path.display().to_string(),
    }
}
