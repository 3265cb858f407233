//! The URL of an Attach.

use cofferdam_cri_api::v1 as cri;
use cofferdam_store::ContainerPhase;

use crate::{Error, Runtime, convert};

pub(super) fn url(runtime: &Runtime, request: &cri::AttachRequest) -> Result<cri::AttachResponse, Error> {
    let entry = runtime.container(&request.container_id)?;
    if entry.phase != ContainerPhase::Running {
        return Err(Error::Precondition(format!("container {} is not running", entry.id)));
    }
    if request.tty && request.stderr {
        return Err(Error::Invalid("stderr: a terminal has only one output".into()));
    }
    let config = convert::container_config(&entry);
    if request.tty != config.tty {
        return Err(Error::Invalid(format!("tty: the container was created with tty={}", config.tty)));
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
