//! PodSandboxStats and the lists of them: the sum of a pod's containers, and its interface.

use cofferdam_cri_api::v1 as cri;
use cofferdam_sandbox::Stats;
use cofferdam_store::{ContainerPhase, SandboxEntry, SandboxPhase};
use futures::future::join_all;

use super::container_stats;
use super::pages::{Pages, pages};
use crate::error::Error;
use crate::present;
use crate::runtime::Runtime;

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
    let usages = join_all(running.iter().map(|c| container_stats::usage(runtime, c))).await;
    let mut sum = Stats::default();
    let mut containers = Vec::new();
    // One that ends or hangs meanwhile is left out.
    for (container, usage) in running.iter().zip(usages).filter_map(|(c, usage)| usage.ok().map(|usage| (c, usage))) {
        present::stats::add(&mut sum, &usage);
        containers.push(container_stats::of_usage(runtime, container, &usage));
    }
    let counters = match entry.lease() {
        Some(lease) => runtime.node.network.counters(lease).await.ok(),
        None => None,
    };
    present::stats::pod(entry, containers, &sum, counters.map(present::stats::network))
}
