//! PullImage.

use std::time::Duration;

use cofferdam_cri_api::v1 as cri;
use tokio::time::timeout;

use crate::error::Error;
use crate::runtime::Runtime;

/// The RPC may be given up and repeated: equal pulls share one download, and what was fetched is not fetched again.
pub(super) async fn pull(runtime: &Runtime, request: cri::PullImageRequest) -> Result<cri::PullImageResponse, Error> {
    let reference = request.image.map(|i| i.image).filter(|i| !i.is_empty());
    let reference = reference.ok_or_else(|| Error::Invalid("image.image: invalid reference: it is empty".into()))?;
    let metadata = request.sandbox_config.and_then(|config| config.metadata);
    let account = account(runtime, &metadata.map(|m| m.namespace).unwrap_or_default()).await;
    Ok(cri::PullImageResponse { image_ref: runtime.node.images.pull(&account, &reference, request.auth).await? })
}

/// How long a pull waits to learn whose it is.
const KNOWN_WITHIN: Duration = Duration::from_secs(1);

/// On whose account a pull is made. It only divides the node's time, so nothing waits long for a namespace that is not
/// known yet: such a one has an account of its own. Clients that name no pod have one together.
async fn account(runtime: &Runtime, namespace: &str) -> String {
    if namespace.is_empty() {
        return String::new();
    }
    match timeout(KNOWN_WITHIN, runtime.node.tenants.resolve(namespace)).await {
        Ok(Ok(tenant)) => format!("tenant {}", tenant.name),
        _ => format!("namespace {namespace}"),
    }
}
