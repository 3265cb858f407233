//! PodSandboxStats and the lists of them: the sum of a pod's containers, and its interface.

use std::sync::Arc;
use std::time::Duration;

use cofferdam_cri_api::v1 as cri;
use cofferdam_sandbox::Stats;
use cofferdam_store::{ContainerPhase, SandboxEntry, SandboxPhase};
use futures::future::join_all;

use super::container_stats::{cpu, memory, of_container, value};
use crate::runtime::now;
use crate::{Error, Runtime, convert, filter};

const WAIT: Duration = Duration::from_secs(2);

pub(super) async fn stats(
    runtime: &Arc<Runtime>,
    request: cri::PodSandboxStatsRequest,
) -> Result<cri::PodSandboxStatsResponse, Error> {
    let entry = runtime.pod(&request.pod_sandbox_id)?;
    Ok(cri::PodSandboxStatsResponse { stats: Some(of_pod(runtime, &entry).await) })
}

pub(super) async fn list(
    runtime: &Arc<Runtime>,
    wanted: Option<&cri::PodSandboxStatsFilter>,
) -> Vec<cri::PodSandboxStats> {
    let all = runtime.parts.store.sandboxes.list();
    let found: Vec<_> =
        all.into_iter().filter(|s| s.phase == SandboxPhase::Ready && filter::pod_stats(s, wanted)).collect();
    join_all(found.iter().map(|s| of_pod(runtime, s))).await
}

async fn of_pod(runtime: &Arc<Runtime>, entry: &SandboxEntry) -> cri::PodSandboxStats {
    let running: Vec<_> =
        runtime.containers_of(&entry.spec.id).into_iter().filter(|c| c.phase == ContainerPhase::Running).collect();
    let containers: Vec<_> =
        join_all(running.iter().map(|c| of_container(runtime, c))).await.into_iter().flatten().collect();
    let mut sum = Stats::default();
    if let Some(sandbox) = runtime.live(&entry.spec.id) {
        let pod = sandbox.pod();
        for stats in join_all(running.iter().map(|c| tokio::time::timeout(WAIT, pod.stats(&c.id))))
            .await
            .into_iter()
            .flatten()
            .flatten()
        {
            add(&mut sum, &stats);
        }
    }
    let config = convert::pod_config(entry);
    cri::PodSandboxStats {
        attributes: Some(cri::PodSandboxAttributes {
            id: entry.spec.id.clone(),
            metadata: config.metadata,
            labels: config.labels,
            annotations: config.annotations,
        }),
        linux: Some(cri::LinuxPodSandboxStats {
            cpu: Some(cpu(&sum)),
            memory: Some(memory(&sum)),
            network: network(runtime, entry).await,
            process: Some(cri::ProcessUsage { timestamp: now(), process_count: value(sum.pids) }),
            containers,
            io: None,
        }),
        windows: None,
    }
}

/// Sums what is known; a value that no container has stays unknown. Limits are no use and are not summed.
fn add(sum: &mut Stats, one: &Stats) {
    let plus = |a: &mut Option<u64>, b: Option<u64>| {
        if let Some(b) = b {
            *a = Some(a.unwrap_or(0).saturating_add(b));
        }
    };
    plus(&mut sum.cpu_ns, one.cpu_ns);
    plus(&mut sum.memory_usage, one.memory_usage);
    plus(&mut sum.memory_working_set, one.memory_working_set);
    plus(&mut sum.memory_rss, one.memory_rss);
    plus(&mut sum.page_faults, one.page_faults);
    plus(&mut sum.major_page_faults, one.major_page_faults);
    plus(&mut sum.swap, one.swap);
    plus(&mut sum.pids, one.pids);
}

async fn network(runtime: &Runtime, entry: &SandboxEntry) -> Option<cri::NetworkUsage> {
    let lease = entry.lease.as_ref()?;
    let (rx, rx_errors, tx, tx_errors) = runtime.parts.network.counters(lease).await.ok()?;
    let interface = cri::NetworkInterfaceUsage {
        name: "eth0".into(),
        rx_bytes: value(Some(rx)),
        rx_errors: value(Some(rx_errors)),
        tx_bytes: value(Some(tx)),
        tx_errors: value(Some(tx_errors)),
    };
    Some(cri::NetworkUsage {
        timestamp: now(),
        default_interface: Some(interface.clone()),
        interfaces: vec![interface],
    })
}
