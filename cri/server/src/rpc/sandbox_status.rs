//! PodSandboxStatus.

use std::collections::HashMap;

use cofferdam_cri_api::v1 as cri;
use cofferdam_store::SandboxEntry;
use serde_json::json;

use crate::{Error, Runtime, convert, runtime::now};

pub(super) fn status(
    runtime: &Runtime,
    request: &cri::PodSandboxStatusRequest,
) -> Result<cri::PodSandboxStatusResponse, Error> {
    let entry = runtime.pod(&request.pod_sandbox_id)?;
    let containers = runtime.containers_of(&entry.spec.id);
    Ok(cri::PodSandboxStatusResponse {
        status: Some(convert::pod_status(&entry)),
        info: if request.verbose {
            HashMap::from([("cofferdam".to_owned(), facts(&entry).to_string())])
        } else {
            HashMap::new()
        },
        containers_statuses: containers
            .iter()
            .filter(|c| convert::container_visible(c))
            .map(|c| convert::container_status(c))
            .collect(),
        timestamp: now(),
    })
}

/// What programs read (DESIGN 4): the same object in `crictl inspectp` and in `cofferdam pods -o json`.
pub(crate) fn facts(entry: &SandboxEntry) -> serde_json::Value {
    let spec = &entry.spec;
    let record = entry.record.as_ref();
    let alive = !entry.released && entry.phase == cofferdam_store::SandboxPhase::Ready;
    let pid = |p: Option<&cofferdam_sandbox::ProcessIdentity>| p.filter(|_| alive).map(|p| p.pid);
    json!({
        "id": spec.id,
        "namespace": spec.namespace,
        "name": spec.name,
        "tenant": spec.tenant,
        "sandbox": match spec.kind { cofferdam_sandbox::SandboxKind::Namespace => "namespace", cofferdam_sandbox::SandboxKind::Vm => "vm" },
        "state": if alive { "Ready" } else { "NotReady" },
        "reason": entry.reason,
        "createdAt": entry.created_at,
        "addresses": entry.lease.iter().flat_map(|l| &l.addresses).map(ToString::to_string).collect::<Vec<_>>(),
        "interface": entry.lease.as_ref().map(|l| l.interface.clone()),
        "shimPid": pid(record.map(|r| &r.shim)),
        "vmmPid": pid(record.and_then(|r| r.vmm.as_ref())),
        "virtiofsdPid": pid(record.and_then(|r| r.virtiofsd.as_ref())),
        "netns": record.filter(|_| alive).and_then(|r| r.netns.as_ref()),
    })
}
