//! PullImage.

use std::sync::Arc;

use cofferdam_cri_api::v1 as cri;
use cofferdam_image::Auth;

use crate::{Error, Runtime};

/// Equal pulls share one download inside the image service; the RPC may be given up and repeated.
pub(super) async fn pull(
    runtime: &Arc<Runtime>,
    request: cri::PullImageRequest,
) -> Result<cri::PullImageResponse, Error> {
    let reference = request.image.map(|i| i.image).filter(|i| !i.is_empty());
    let reference = reference.ok_or_else(|| Error::Invalid("image.image: is empty".into()))?;
    let auth = request.auth.map(auth);
    let pulled = runtime.parts.images.pull(&reference, auth).await?;
    Ok(cri::PullImageResponse { image_ref: pulled.id })
}

fn auth(auth: cri::AuthConfig) -> Auth {
    Auth {
        username: auth.username,
        password: auth.password,
        auth: auth.auth,
        server_address: auth.server_address,
        identity_token: auth.identity_token,
        registry_token: auth.registry_token,
    }
}
