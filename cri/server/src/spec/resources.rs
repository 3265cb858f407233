//! Limits: from CRI to OCI, and an update merged into what is in force.

use cofferdam_cri_api::v1 as cri;
use oci_spec::runtime::{
    LinuxCpuBuilder, LinuxHugepageLimitBuilder, LinuxMemoryBuilder, LinuxResources, LinuxResourcesBuilder,
};

use super::error::{SpecError, builder};

/// CRI says "not set" by zero and "no limit" by -1; OCI by absence and -1.
pub(crate) fn to_oci(resources: &cri::LinuxContainerResources) -> Result<LinuxResources, SpecError> {
    let mut cpu = LinuxCpuBuilder::default();
    if resources.cpu_shares != 0 {
        cpu = cpu.shares(unsigned("cpu_shares", resources.cpu_shares)?);
    }
    if resources.cpu_period != 0 {
        cpu = cpu.period(unsigned("cpu_period", resources.cpu_period)?);
    }
    if resources.cpu_quota != 0 {
        cpu = cpu.quota(resources.cpu_quota);
    }
    if !resources.cpuset_cpus.is_empty() {
        cpu = cpu.cpus(resources.cpuset_cpus.clone());
    }
    if !resources.cpuset_mems.is_empty() {
        cpu = cpu.mems(resources.cpuset_mems.clone());
    }
    let mut memory = LinuxMemoryBuilder::default();
    if resources.memory_limit_in_bytes != 0 {
        memory = memory.limit(resources.memory_limit_in_bytes);
        memory = memory.swap(told(resources).memory_swap_limit_in_bytes);
    } else if resources.memory_swap_limit_in_bytes != 0 {
        memory = memory.swap(resources.memory_swap_limit_in_bytes);
    }
    let hugepages = resources.hugepage_limits.iter().map(|limit| {
        let bytes = i64::try_from(limit.limit)
            .map_err(|_| SpecError::new("linux.resources.hugepage_limits", "limit out of range"))?;
        LinuxHugepageLimitBuilder::default().page_size(limit.page_size.clone()).limit(bytes).build().map_err(builder)
    });
    let mut oci = LinuxResourcesBuilder::default()
        .cpu(cpu.build().map_err(builder)?)
        .memory(memory.build().map_err(builder)?)
        .hugepage_limits(hugepages.collect::<Result<Vec<_>, _>>()?);
    if !resources.unified.is_empty() {
        oci = oci.unified(resources.unified.clone());
    }
    oci.build().map_err(builder)
}

/// Limits as they are set: swap counts memory plus swap, and without a word on it a container has no more of both than
/// its memory, which is no swap.
pub(crate) fn told(asked: &cri::LinuxContainerResources) -> cri::LinuxContainerResources {
    let mut told = asked.clone();
    if told.memory_swap_limit_in_bytes == 0 {
        told.memory_swap_limit_in_bytes = told.memory_limit_in_bytes;
    }
    told
}

fn unsigned(field: &str, value: i64) -> Result<u64, SpecError> {
    u64::try_from(value).map_err(|_| SpecError::new(format!("linux.resources.{field}"), format!("{value} is negative")))
}

/// An update names only what changes: what it leaves at zero stays in force.
pub(crate) fn merge(
    current: &cri::LinuxContainerResources,
    update: &cri::LinuxContainerResources,
) -> cri::LinuxContainerResources {
    let update = &told(update);
    let number = |new: i64, old: i64| if new != 0 { new } else { old };
    let text = |new: &str, old: &str| if new.is_empty() { old.to_owned() } else { new.to_owned() };
    let mut unified = current.unified.clone();
    unified.extend(update.unified.clone());
    cri::LinuxContainerResources {
        cpu_period: number(update.cpu_period, current.cpu_period),
        cpu_quota: number(update.cpu_quota, current.cpu_quota),
        cpu_shares: number(update.cpu_shares, current.cpu_shares),
        memory_limit_in_bytes: number(update.memory_limit_in_bytes, current.memory_limit_in_bytes),
        // The adjustment belongs to the process and cannot be changed for those that run.
        oom_score_adj: current.oom_score_adj,
        cpuset_cpus: text(&update.cpuset_cpus, &current.cpuset_cpus),
        cpuset_mems: text(&update.cpuset_mems, &current.cpuset_mems),
        hugepage_limits: if update.hugepage_limits.is_empty() {
            current.hugepage_limits.clone()
        } else {
            update.hugepage_limits.clone()
        },
        unified,
        memory_swap_limit_in_bytes: number(update.memory_swap_limit_in_bytes, current.memory_swap_limit_in_bytes),
    }
}

/// The pod's limits, as far as a sandbox takes them: CPUs and bytes.
pub(crate) fn pod_limits(wanted: &cri::LinuxContainerResources) -> (Option<f64>, Option<u64>) {
    let cpus =
        (wanted.cpu_quota > 0 && wanted.cpu_period > 0).then(|| wanted.cpu_quota as f64 / wanted.cpu_period as f64);
    (cpus, u64::try_from(wanted.memory_limit_in_bytes).ok().filter(|m| *m > 0))
}

/// Limits that somebody asked for, as the kernel has them: it rounds memory to pages and shares to weights. What nobody
/// asked for is not set, whatever the kernel's files say then.
pub(crate) fn read_back(
    mut asked: cri::LinuxContainerResources,
    applied: &LinuxResources,
) -> cri::LinuxContainerResources {
    let signed = |v: u64| i64::try_from(v).unwrap_or(i64::MAX);
    let number = |asked: &mut i64, applied: Option<i64>| *asked = applied.filter(|_| *asked != 0).unwrap_or(*asked);
    let text = |asked: &mut String, applied: &Option<String>| {
        if let Some(applied) = applied.as_ref().filter(|_| !asked.is_empty()) {
            asked.clone_from(applied);
        }
    };
    if let Some(cpu) = applied.cpu() {
        number(&mut asked.cpu_shares, cpu.shares().map(signed));
        number(&mut asked.cpu_quota, cpu.quota());
        number(&mut asked.cpu_period, cpu.period().map(signed));
        text(&mut asked.cpuset_cpus, cpu.cpus());
        text(&mut asked.cpuset_mems, cpu.mems());
    }
    if let Some(memory) = applied.memory() {
        number(&mut asked.memory_limit_in_bytes, memory.limit());
        number(&mut asked.memory_swap_limit_in_bytes, memory.swap());
    }
    asked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_set_is_absent_and_not_zero() {
        let oci = to_oci(&Default::default()).unwrap();
        assert_eq!(oci.cpu().as_ref().unwrap().shares(), None);
        assert_eq!(oci.memory().as_ref().unwrap().limit(), None);
    }

    #[test]
    fn an_update_keeps_what_it_does_not_name() {
        let current =
            cri::LinuxContainerResources { cpu_shares: 512, memory_limit_in_bytes: 100, ..Default::default() };
        let update = cri::LinuxContainerResources { memory_limit_in_bytes: 200, ..Default::default() };
        let merged = merge(&current, &update);
        assert_eq!((merged.cpu_shares, merged.memory_limit_in_bytes), (512, 200));
        assert_eq!(merged.memory_swap_limit_in_bytes, 200);
    }

    #[test]
    fn what_nobody_asked_for_is_not_told_whatever_the_kernel_has() {
        let cpu = LinuxCpuBuilder::default().shares(1024u64).quota(-1).period(100_000u64).cpus("0-3").mems("0");
        let memory = LinuxMemoryBuilder::default().limit(4096).swap(8192).build().unwrap();
        let applied = LinuxResourcesBuilder::default().cpu(cpu.build().unwrap()).memory(memory).build().unwrap();
        assert_eq!(read_back(Default::default(), &applied), Default::default());
        let asked = cri::LinuxContainerResources { memory_limit_in_bytes: 5000, ..Default::default() };
        let told = read_back(told(&asked), &applied);
        assert_eq!((told.memory_limit_in_bytes, told.memory_swap_limit_in_bytes), (4096, 8192));
        assert_eq!((told.cpu_shares, told.cpuset_cpus.as_str()), (0, ""));
    }

    #[test]
    fn negative_shares_are_refused_by_name() {
        let resources = cri::LinuxContainerResources { cpu_shares: -1, ..Default::default() };
        assert!(to_oci(&resources).unwrap_err().to_string().contains("cpu_shares"));
    }
}
