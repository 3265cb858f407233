//! Version and Status.

use std::collections::HashMap;

use cofferdam_cri_api::v1 as cri;

use crate::error::Error;
use crate::present;
use crate::runtime::Runtime;

/// The first is a constant that kubelet checks.
pub(super) async fn version(_: &Runtime, _: cri::VersionRequest) -> Result<cri::VersionResponse, Error> {
    Ok(cri::VersionResponse {
        version: cofferdam_cri_api::KUBELET_RUNTIME_API_VERSION.into(),
        runtime_name: "cofferdam".into(),
        runtime_version: env!("CARGO_PKG_VERSION").into(),
        runtime_api_version: "v1".into(),
    })
}

/// Conditions, handlers and features; verbose: with what is degraded.
pub(super) async fn status(runtime: &Runtime, request: cri::StatusRequest) -> Result<cri::StatusResponse, Error> {
    let mut info = HashMap::new();
    if request.verbose {
        info.insert("cofferdam".to_owned(), runtime.node_details().to_string());
    }
    Ok(cri::StatusResponse {
        status: Some(cri::RuntimeStatus { conditions: present::node::conditions(&runtime.node) }),
        info,
        runtime_handlers: present::node::handlers(&runtime.node),
        features: Some(cri::RuntimeFeatures {
            supplemental_groups_policy: true,
            user_namespaces_host_network: false,
            mount_options: false,
        }),
    })
}
