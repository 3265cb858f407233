//! The URL of an Attach.

use cofferdam_cri_api::v1 as cri;
use cofferdam_store::ContainerPhase;

use crate::error::Error;
use crate::runtime::Runtime;

/// The container has to run, with or without a terminal as the request says.
pub(super) async fn url(runtime: &Runtime, request: cri::AttachRequest) -> Result<cri::AttachResponse, Error> {
    let entry = runtime.containers.find(&request.container_id)?;
    if entry.phase() != ContainerPhase::Running {
        return Err(Error::Precondition(format!("container {} is not running", entry.id)));
    }
    if request.tty && request.stderr {
        return Err(Error::Invalid("stderr: a terminal has only one output".into()));
    }
    if request.tty != entry.config.tty {
        return Err(Error::Invalid(format!("tty: the container was created with tty={}", entry.config.tty)));
    }
    let url = runtime.stream_server()?.attach_url(cofferdam_streaming::AttachRequest {
        container_id: entry.id.clone(),
        tty: request.tty,
        stdin: request.stdin,
        stdout: request.stdout,
        stderr: request.stderr,
    });
    Ok(cri::AttachResponse { url: url? })
}
