//! Limits and requests, by kubelet's rules.

use cofferdam_cri_api::v1::LinuxContainerResources;
use cofferdam_tenant::{parse_cpu, parse_memory};

use super::manifest::{PodSpec, Resources};

/// CFS period, microseconds.
const PERIOD: i64 = 100_000;
/// The kernel's least quota, microseconds.
const LEAST_QUOTA: i64 = 1000;
/// The kernel's least shares.
const LEAST_SHARES: i64 = 2;

/// CPU in thousandths, memory in bytes. An absent request is the limit, as Kubernetes' defaults have it.
#[derive(Debug, Clone, Copy, Default)]
struct Wanted {
    cpu_limit: Option<i64>,
    cpu_request: Option<i64>,
    memory_limit: Option<i64>,
    memory_request: Option<i64>,
}

fn wanted(resources: &Resources) -> Wanted {
    let fit = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let cpu = |q: &Option<String>| q.as_deref().and_then(parse_cpu).map(fit);
    let memory = |q: &Option<String>| q.as_deref().and_then(parse_memory).map(fit);
    let (cpu_limit, memory_limit) = (cpu(&resources.limits.cpu), memory(&resources.limits.memory));
    Wanted {
        cpu_limit,
        cpu_request: cpu(&resources.requests.cpu).or(cpu_limit),
        memory_limit,
        memory_request: memory(&resources.requests.memory).or(memory_limit),
    }
}

fn cpu(limit: Option<i64>, request: Option<i64>) -> LinuxContainerResources {
    LinuxContainerResources {
        cpu_shares: request.map_or(LEAST_SHARES, |milli| (milli.saturating_mul(1024) / 1000).max(LEAST_SHARES)),
        cpu_period: PERIOD,
        cpu_quota: limit.map_or(0, |milli| (milli.saturating_mul(PERIOD) / 1000).max(LEAST_QUOTA)),
        ..Default::default()
    }
}

/// Of a container.
pub(super) fn container(spec: &PodSpec, resources: &Resources, node_memory: u64) -> LinuxContainerResources {
    let w = wanted(resources);
    LinuxContainerResources {
        memory_limit_in_bytes: w.memory_limit.unwrap_or(0),
        oom_score_adj: oom_score_adj(spec, w, node_memory),
        ..cpu(w.cpu_limit, w.cpu_request)
    }
}

/// Of the whole pod: the sums, and a limit only where each container has one. A VM is made at least as large.
pub(super) fn pod(spec: &PodSpec) -> LinuxContainerResources {
    let all: Vec<Wanted> = spec.containers.iter().map(|c| wanted(&c.resources)).collect();
    let sum = |of: fn(&Wanted) -> Option<i64>| all.iter().map(of).sum::<Option<i64>>();
    let requests = all.iter().filter_map(|w| w.cpu_request).fold(0, i64::saturating_add);
    LinuxContainerResources {
        memory_limit_in_bytes: sum(|w| w.memory_limit).unwrap_or(0),
        ..cpu(sum(|w| w.cpu_limit), Some(requests))
    }
}

/// Guaranteed pods go last, those that promise nothing first, the rest by what they asked for of the node.
fn oom_score_adj(spec: &PodSpec, own: Wanted, node_memory: u64) -> i64 {
    let all: Vec<Wanted> = spec.containers.iter().map(|c| wanted(&c.resources)).collect();
    let guaranteed = |w: &Wanted| {
        w.cpu_limit.is_some()
            && w.memory_limit.is_some()
            && w.cpu_limit == w.cpu_request
            && w.memory_limit == w.memory_request
    };
    if all.iter().all(guaranteed) {
        return -997;
    }
    if all.iter().all(|w| w.cpu_request.is_none() && w.memory_request.is_none()) {
        return 1000;
    }
    let node = i64::try_from(node_memory).unwrap_or(i64::MAX).max(1);
    let share = own.memory_request.unwrap_or(0).saturating_mul(1000) / node;
    (1000 - share).clamp(3, 999)
}

#[cfg(test)]
mod tests {
    use super::super::parse_pod;
    use super::*;

    fn spec(containers: &str) -> PodSpec {
        let text = format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: a}}\nspec: {{containers: [{containers}]}}");
        parse_pod("f", 1, &text).unwrap().spec
    }

    #[test]
    fn limits_become_quota_and_bytes_and_fill_in_for_requests() {
        let spec = spec("{name: a, image: i, resources: {limits: {cpu: 500m, memory: 64Mi}}}");
        let r = container(&spec, &spec.containers[0].resources, 1 << 30);
        assert_eq!((r.cpu_quota, r.cpu_period, r.cpu_shares), (50_000, 100_000, 512));
        assert_eq!((r.memory_limit_in_bytes, r.oom_score_adj), (64 << 20, -997));
    }

    #[test]
    fn a_container_that_asks_for_nothing_goes_first() {
        let spec = spec("{name: a, image: i}");
        let r = container(&spec, &spec.containers[0].resources, 1 << 30);
        assert_eq!((r.cpu_quota, r.cpu_shares, r.memory_limit_in_bytes, r.oom_score_adj), (0, 2, 0, 1000));
    }

    #[test]
    fn a_pod_has_a_limit_only_if_each_container_has() {
        let limited = "{name: a, image: i, resources: {limits: {memory: 64Mi}}}";
        assert_eq!(
            pod(&spec(&format!("{limited}, {}", limited.replace("name: a", "name: b")))).memory_limit_in_bytes,
            128 << 20
        );
        assert_eq!(pod(&spec(&format!("{limited}, {{name: b, image: i}}"))).memory_limit_in_bytes, 0);
    }

    #[test]
    fn memory_that_was_asked_for_lowers_the_score() {
        let spec = spec("{name: a, image: i, resources: {requests: {memory: 512Mi}}}");
        assert_eq!(container(&spec, &spec.containers[0].resources, 1 << 30).oom_score_adj, 500);
    }
}
