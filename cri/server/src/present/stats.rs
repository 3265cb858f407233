//! Statistics, as CRI's messages.

use cofferdam_cri_api::v1 as cri;
use cofferdam_sandbox::Stats;
use cofferdam_store::{ContainerEntry, SandboxEntry};

use crate::clock::now;

/// Statistics of one container.
pub(crate) fn container(
    entry: &ContainerEntry,
    usage: &Stats,
    writable_layer: cri::FilesystemUsage,
) -> cri::ContainerStats {
    let config = &entry.config;
    cri::ContainerStats {
        attributes: Some(cri::ContainerAttributes {
            id: entry.id.clone(),
            metadata: config.metadata.clone(),
            labels: config.labels.clone(),
            annotations: config.annotations.clone(),
        }),
        cpu: Some(cpu(usage)),
        memory: Some(memory(usage)),
        writable_layer: Some(writable_layer),
        swap: Some(cri::SwapUsage {
            timestamp: now(),
            swap_available_bytes: None,
            swap_usage_bytes: value(usage.swap),
        }),
        io: None,
    }
}

/// Statistics of a pod: those of its containers, their sum, and its interface.
pub(crate) fn pod(
    entry: &SandboxEntry,
    containers: Vec<cri::ContainerStats>,
    sum: &Stats,
    network: Option<cri::NetworkUsage>,
) -> cri::PodSandboxStats {
    let config = &entry.config;
    cri::PodSandboxStats {
        attributes: Some(cri::PodSandboxAttributes {
            id: entry.spec.id.clone(),
            metadata: config.metadata.clone(),
            labels: config.labels.clone(),
            annotations: config.annotations.clone(),
        }),
        linux: Some(cri::LinuxPodSandboxStats {
            cpu: Some(cpu(sum)),
            memory: Some(memory(sum)),
            network,
            process: Some(cri::ProcessUsage { timestamp: now(), process_count: value(sum.pids) }),
            containers,
            io: None,
        }),
        windows: None,
    }
}

/// The pod's only interface: bytes and errors received, bytes and errors sent.
pub(crate) fn network((rx, rx_errors, tx, tx_errors): (u64, u64, u64, u64)) -> cri::NetworkUsage {
    let interface = cri::NetworkInterfaceUsage {
        name: "eth0".into(),
        rx_bytes: value(Some(rx)),
        rx_errors: value(Some(rx_errors)),
        tx_bytes: value(Some(tx)),
        tx_errors: value(Some(tx_errors)),
    };
    cri::NetworkUsage { timestamp: now(), default_interface: Some(interface.clone()), interfaces: vec![interface] }
}

/// Sums what is known; a value that no container has stays unknown. Limits are no use and are not summed.
pub(crate) fn add(sum: &mut Stats, one: &Stats) {
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

/// CRI's optional number.
pub(super) fn value(value: Option<u64>) -> Option<cri::UInt64Value> {
    value.map(|value| cri::UInt64Value { value })
}

fn cpu(usage: &Stats) -> cri::CpuUsage {
    cri::CpuUsage { timestamp: now(), usage_core_nano_seconds: value(usage.cpu_ns), usage_nano_cores: None, psi: None }
}

fn memory(usage: &Stats) -> cri::MemoryUsage {
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
