//! The URL of a PortForward.

use cofferdam_cri_api::v1 as cri;

use crate::error::Error;
use crate::runtime::Runtime;

/// The sandbox has to run.
pub(super) async fn url(
    runtime: &Runtime,
    request: cri::PortForwardRequest,
) -> Result<cri::PortForwardResponse, Error> {
    let entry = runtime.pods.find(&request.pod_sandbox_id)?;
    if runtime.pods.live(&entry.spec.id).is_none() {
        return Err(Error::Precondition(format!("pod sandbox {} is not running", entry.spec.id)));
    }
    let ports = request
        .port
        .iter()
        .map(|p| u16::try_from(*p).map_err(|_| Error::Invalid(format!("port: {p} is out of range"))));
    let url = runtime.stream_server()?.port_forward_url(cofferdam_streaming::PortForwardRequest {
        sandbox_id: entry.spec.id.clone(),
        ports: ports.collect::<Result<_, _>>()?,
    });
    Ok(cri::PortForwardResponse { url: url? })
}
