//! UpdateContainerResources.

use std::sync::Arc;

use cofferdam_cri_api::v1 as cri;
use cofferdam_store::ContainerPhase;
use oci_spec::runtime::LinuxResources;
use prost::Message;

use crate::{Error, Runtime, convert, spec};

pub(super) async fn update(
    runtime: &Arc<Runtime>,
    request: cri::UpdateContainerResourcesRequest,
) -> Result<cri::UpdateContainerResourcesResponse, Error> {
    if request.windows.is_some() {
        return Err(Error::Invalid("windows: this is a Linux runtime".into()));
    }
    let entry = runtime.container(&request.container_id)?;
    if !matches!(entry.phase, ContainerPhase::Created | ContainerPhase::Running) {
        return Err(Error::Precondition(format!("container {} has exited", entry.id)));
    }
    let Some(asked) = request.linux else { return Ok(cri::UpdateContainerResourcesResponse {}) };
    let sandbox = runtime.sandbox_of(&entry)?;
    let applied = sandbox.pod().update(&entry.id, &spec::resources_to_oci(&asked)?).await?;
    let now = read_back(spec::merge_resources(&convert::resources(&entry), &asked), &applied);
    runtime.parts.store.containers.update(&entry.id, move |c| c.resources = now.encode_to_vec()).await?;
    Ok(cri::UpdateContainerResourcesResponse {})
}

/// Limits are shown as the kernel has them: it rounds memory to pages and shares to weights.
pub(super) fn read_back(
    mut asked: cri::LinuxContainerResources,
    applied: &LinuxResources,
) -> cri::LinuxContainerResources {
    let signed = |v: u64| i64::try_from(v).unwrap_or(i64::MAX);
    if let Some(cpu) = applied.cpu() {
        if let Some(shares) = cpu.shares() {
            asked.cpu_shares = signed(shares);
        }
        if let Some(quota) = cpu.quota() {
            asked.cpu_quota = quota;
        }
        if let Some(period) = cpu.period() {
            asked.cpu_period = signed(period);
        }
        if let Some(cpus) = cpu.cpus() {
            asked.cpuset_cpus.clone_from(cpus);
        }
        if let Some(mems) = cpu.mems() {
            asked.cpuset_mems.clone_from(mems);
        }
    }
    if let Some(limit) = applied.memory().as_ref().and_then(|m| m.limit()) {
        asked.memory_limit_in_bytes = limit;
    }
    asked
}
