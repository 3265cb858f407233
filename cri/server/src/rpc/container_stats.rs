//! ContainerStats and the lists of them.

use std::time::Duration;

use cofferdam_cri_api::v1 as cri;
use cofferdam_sandbox::Stats;
use cofferdam_store::{ContainerEntry, ContainerPhase};
use futures::future::join_all;

use super::pages::{Pages, pages};
use crate::error::Error;
use crate::present;
use crate::runtime::Runtime;

/// One container that does not answer must not hold up the list.
const WAIT: Duration = Duration::from_secs(2);

/// Statistics of one container.
pub(super) async fn stats(
    runtime: &Runtime,
    request: cri::ContainerStatsRequest,
) -> Result<cri::ContainerStatsResponse, Error> {
    let entry = runtime.containers.find(&request.container_id)?;
    let stats = of_container(runtime, &entry).await?;
    Ok(cri::ContainerStatsResponse { stats: Some(stats) })
}

/// Those of all containers that the filter wants, in one message.
pub(super) async fn list(
    runtime: &Runtime,
    request: cri::ListContainerStatsRequest,
) -> Result<cri::ListContainerStatsResponse, Error> {
    Ok(cri::ListContainerStatsResponse { stats: items(runtime, request.filter.as_ref()).await })
}

/// Those of all containers that the filter wants, in pages.
pub(super) async fn stream(
    runtime: &Runtime,
    request: cri::StreamContainerStatsRequest,
) -> Result<Pages<cri::StreamContainerStatsResponse>, Error> {
    let page = |container_stats| cri::StreamContainerStatsResponse { container_stats };
    Ok(pages(items(runtime, request.filter.as_ref()).await, page))
}

/// Of all that are wanted and run; a container that ends or hangs meanwhile is left out.
async fn items(runtime: &Runtime, filter: Option<&cri::ContainerStatsFilter>) -> Vec<cri::ContainerStats> {
    let mut found = runtime.containers.records().list();
    found.retain(|c| c.phase() == ContainerPhase::Running && present::filters::container_stats(c, filter));
    join_all(found.iter().map(|c| of_container(runtime, c))).await.into_iter().flatten().collect()
}

/// Of a container that does not run, only what its writable layer takes is known.
pub(super) async fn of_container(runtime: &Runtime, entry: &ContainerEntry) -> Result<cri::ContainerStats, Error> {
    let usage = match entry.phase() {
        ContainerPhase::Running => usage(runtime, entry).await?,
        _ => Stats::default(),
    };
    Ok(of_usage(runtime, entry, &usage))
}

/// What a running container uses, as its sandbox says.
pub(super) async fn usage(runtime: &Runtime, entry: &ContainerEntry) -> Result<Stats, Error> {
    let pod = runtime.containers.sandbox_of(entry)?.pod();
    let slow = |_| Error::Unavailable(format!("container {} does not answer", entry.id));
    Ok(tokio::time::timeout(WAIT, pod.stats(&entry.id)).await.map_err(slow)??)
}

/// With what its writable layer takes.
pub(super) fn of_usage(runtime: &Runtime, entry: &ContainerEntry, usage: &Stats) -> cri::ContainerStats {
    let layer = runtime.node.images.usage(&entry.id);
    let layer = present::images::disk_usage(&runtime.node.settings.root, layer);
    present::stats::container(entry, usage, layer)
}
