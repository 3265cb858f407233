//! RunPodSandbox.

use cofferdam_cri_api::v1 as cri;

use crate::error::Error;
use crate::runtime::Runtime;

/// Name, namespace and uid are what a retry is recognised by.
pub(super) async fn run(
    runtime: &Runtime,
    request: cri::RunPodSandboxRequest,
) -> Result<cri::RunPodSandboxResponse, Error> {
    let config = request.config.ok_or_else(|| Error::Invalid("config: is missing".into()))?;
    let metadata = config.metadata.clone().unwrap_or_default();
    for (field, value) in [("name", metadata.name), ("namespace", metadata.namespace), ("uid", metadata.uid)] {
        if value.is_empty() {
            return Err(Error::Invalid(format!("config.metadata.{field}: is empty")));
        }
    }
    let pod_sandbox_id = runtime.pods.run(config, request.runtime_handler).await?;
    Ok(cri::RunPodSandboxResponse { pod_sandbox_id })
}
