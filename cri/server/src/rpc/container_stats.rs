//! ContainerStats and the lists of them.

use std::sync::Arc;
use std::time::Duration;

use cofferdam_cri_api::v1 as cri;
use cofferdam_sandbox::Stats;
use cofferdam_store::{ContainerEntry, ContainerPhase};
use futures::future::join_all;

use crate::runtime::now;
use crate::{Error, Runtime, convert, filter};

/// One container that does not answer must not hold up the list.
const WAIT: Duration = Duration::from_secs(2);

pub(super) async fn stats(
    runtime: &Arc<Runtime>,
    request: cri::ContainerStatsRequest,
) -> Result<cri::ContainerStatsResponse, Error> {
    let entry = runtime.container(&request.container_id)?;
    let stats = of_container(runtime, &entry).await?;
    Ok(cri::ContainerStatsResponse { stats: Some(stats) })
}

/// Statistics of all that are wanted and run; a container that ends or hangs meanwhile is left out.
pub(super) async fn list(
    runtime: &Arc<Runtime>,
    wanted: Option<&cri::ContainerStatsFilter>,
) -> Vec<cri::ContainerStats> {
    let all = runtime.parts.store.containers.list();
    let found: Vec<_> =
        all.into_iter().filter(|c| c.phase == ContainerPhase::Running && filter::container_stats(c, wanted)).collect();
    join_all(found.iter().map(|c| of_container(runtime, c))).await.into_iter().flatten().collect()
}

pub(super) async fn of_container(runtime: &Arc<Runtime>, entry: &ContainerEntry) -> Result<cri::ContainerStats, Error> {
    let usage = match entry.phase {
        ContainerPhase::Running => {
            let pod = runtime.sandbox_of(entry)?.pod();
            let slow = |_| Error::Unavailable(format!("container {} does not answer", entry.id));
            tokio::time::timeout(WAIT, pod.stats(&entry.id)).await.map_err(slow)??
        }
        _ => Stats::default(),
    };
    let config = convert::container_config(entry);
    Ok(cri::ContainerStats {
        attributes: Some(cri::ContainerAttributes {
            id: entry.id.clone(),
            metadata: config.metadata,
            labels: config.labels,
            annotations: config.annotations,
        }),
        cpu: Some(cpu(&usage)),
        memory: Some(memory(&usage)),
        writable_layer: Some(writable_layer(runtime, &entry.id)),
        swap: Some(cri::SwapUsage {
            timestamp: now(),
            swap_available_bytes: None,
            swap_usage_bytes: value(usage.swap),
        }),
        io: None,
    })
}

fn writable_layer(runtime: &Runtime, id: &str) -> cri::FilesystemUsage {
    let usage = runtime.parts.images.usage(id);
    cri::FilesystemUsage {
        timestamp: now(),
        fs_id: Some(cri::FilesystemIdentifier { mountpoint: runtime.settings.root.to_string_lossy().into_owned() }),
        used_bytes: value(usage.as_ref().map(|u| u.bytes)),
        inodes_used: value(usage.as_ref().map(|u| u.inodes)),
    }
}

pub(super) fn value(value: Option<u64>) -> Option<cri::UInt64Value> {
    value.map(|value| cri::UInt64Value { value })
}

pub(super) fn cpu(usage: &Stats) -> cri::CpuUsage {
    cri::CpuUsage { timestamp: now(), usage_core_nano_seconds: value(usage.cpu_ns), usage_nano_cores: None, psi: None }
}

pub(super) fn memory(usage: &Stats) -> cri::MemoryUsage {
    let available = usage.memory_limit.zip(usage.memory_working_set).map(|(limit, used)| limit.saturating_sub(used));
    cri::MemoryUsage {
        timestamp: now(),
        working_set_bytes: value(usage.memory_working_set),
        available_bytes: value(available),
        usage_bytes: value(usage.memory_usage),
        rss_bytes: value(usage.memory_rss),
        page_faults: value(usage.page_faults),
        major_page_faults: value(usage.major_page_faults),
        psi: None,
    }
}
