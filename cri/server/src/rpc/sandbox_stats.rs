//! PodSandboxStats and the lists of them: the sum of a pod's containers, and its interface.

use std::time::Duration;

use cofferdam_cri_api::v1 as cri;
use cofferdam_sandbox::Stats;
use cofferdam_store::{ContainerPhase, SandboxEntry, SandboxPhase};
use futures::future::join_all;

use super::container_stats::of_container;
use super::pages::{Pages, pages};
use crate::error::Error;
use crate::present;
use crate::runtime::Runtime;

/// One container that does not answer must not hold up the list.
const WAIT: Duration = Duration::from_secs(2);

/// Statistics of one pod.
pub(super) async fn stats(
    runtime: &Runtime,
    request: cri::PodSandboxStatsRequest,
) -> Result<cri::PodSandboxStatsResponse, Error> {
    let entry = runtime.pods.find(&request.pod_sandbox_id)?;
    Ok(cri::PodSandboxStatsResponse { stats: Some(of_pod(runtime, &entry).await) })
}

/// Those of all pods that the filter wants, in one message.
pub(super) async fn list(
    runtime: &Runtime,
    request: cri::ListPodSandboxStatsRequest,
) -> Result<cri::ListPodSandboxStatsResponse, Error> {
    Ok(cri::ListPodSandboxStatsResponse { stats: items(runtime, request.filter.as_ref()).await })
}

/// Those of all pods that the filter wants, in pages.
pub(super) async fn stream(
    runtime: &Runtime,
    request: cri::StreamPodSandboxStatsRequest,
) -> Result<Pages<cri::StreamPodSandboxStatsResponse>, Error> {
    let page = |pod_sandbox_stats| cri::StreamPodSandboxStatsResponse { pod_sandbox_stats };
    Ok(pages(items(runtime, request.filter.as_ref()).await, page))
}

async fn items(runtime: &Runtime, filter: Option<&cri::PodSandboxStatsFilter>) -> Vec<cri::PodSandboxStats> {
    let mut found = runtime.pods.records().list();
    found.retain(|s| s.phase() == SandboxPhase::Ready && present::filters::pod_stats(s, filter));
    join_all(found.iter().map(|s| of_pod(runtime, s))).await
}

async fn of_pod(runtime: &Runtime, entry: &SandboxEntry) -> cri::PodSandboxStats {
    let mut running = runtime.containers.of_sandbox(&entry.spec.id);
    running.retain(|c| c.phase() == ContainerPhase::Running);
    let containers = join_all(running.iter().map(|c| of_container(runtime, c))).await.into_iter().flatten().collect();
    let mut sum = Stats::default();
    if let Some(sandbox) = runtime.pods.live(&entry.spec.id) {
        let pod = sandbox.pod();
        let answers = join_all(running.iter().map(|c| tokio::time::timeout(WAIT, pod.stats(&c.id)))).await;
        answers.into_iter().flatten().flatten().for_each(|stats| present::stats::add(&mut sum, &stats));
    }
    let counters = match entry.lease() {
        Some(lease) => runtime.node.network.counters(lease).await.ok(),
        None => None,
    };
    present::stats::pod(entry, containers, &sum, counters.map(present::stats::network))
}
