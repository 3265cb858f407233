//! From OCI resources to the control files that are written. Pure, so that both versions are tested anywhere.

use oci_spec::runtime::LinuxResources;

use crate::error::{Error, refuse};

/// One write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Write {
    pub controller: &'static str,
    pub file: String,
    pub value: String,
    /// The OCI field, for errors.
    pub field: &'static str,
    /// Where the file is missing, the limit is not needed.
    pub optional: bool,
}

/// What no version gives.
pub(crate) fn check(resources: &LinuxResources) -> Result<(), Error> {
    if let Some(cpu) = resources.cpu() {
        let realtime = cpu.realtime_runtime().is_some() || cpu.realtime_period().is_some();
        refuse("linux.resources.cpu.realtimeRuntime", realtime, "is not supported")?;
        refuse("linux.resources.cpu.idle", cpu.idle().is_some_and(|v| v != 0), "is not supported")?;
        refuse("linux.resources.cpu.burst", cpu.burst().is_some_and(|v| v != 0), "is not supported")?;
    }
    if let Some(memory) = resources.memory() {
        refuse("linux.resources.memory.swappiness", memory.swappiness().is_some(), "is not supported")?;
        let oom = memory.disable_oom_killer().unwrap_or(false);
        refuse("linux.resources.memory.disableOOMKiller", oom, "is not supported")?;
        refuse("linux.resources.memory.kernelTCP", memory.kernel_tcp().is_some(), "is not supported")?;
    }
    if let Some(io) = resources.block_io() {
        let devices = io.weight_device().as_ref().is_some_and(|l| !l.is_empty())
            || [
                io.throttle_read_bps_device(),
                io.throttle_write_bps_device(),
                io.throttle_read_iops_device(),
                io.throttle_write_iops_device(),
            ]
            .into_iter()
            .any(|l| l.as_ref().is_some_and(|l| !l.is_empty()));
        refuse(
            "linux.resources.blockIO",
            devices || io.leaf_weight().is_some(),
            "limits of single devices are not supported",
        )?;
    }
    let network = resources
        .network()
        .as_ref()
        .is_some_and(|n| n.class_id().is_some() || n.priorities().as_ref().is_some_and(|p| !p.is_empty()));
    refuse("linux.resources.network", network, "is not supported")?;
    refuse("linux.resources.rdma", resources.rdma().as_ref().is_some_and(|r| !r.is_empty()), "is not supported")
}

/// The writes for these resources, devices aside.
pub(crate) fn writes(resources: &LinuxResources, v2: bool) -> Result<Vec<Write>, Error> {
    check(resources)?;
    let mut list = Vec::new();
    let mut add = |controller, file: &str, value: String, field| {
        list.push(Write { controller, file: file.to_owned(), value, field, optional: false });
    };
    if let Some(cpu) = resources.cpu() {
        let field = "linux.resources.cpu";
        if let Some(shares) = cpu.shares().filter(|s| *s != 0) {
            match v2 {
                true => add("cpu", "cpu.weight", weight(shares).to_string(), field),
                false => add("cpu", "cpu.shares", shares.to_string(), field),
            }
        }
        match (v2, cpu.period().filter(|p| *p != 0), cpu.quota().filter(|q| *q != 0)) {
            (_, None, None) => {}
            (true, period, Some(quota)) => {
                let quota = if quota < 0 { "max".to_owned() } else { quota.to_string() };
                add("cpu", "cpu.max", format!("{quota} {}", period.unwrap_or(100_000)), field);
            }
            (true, Some(period), None) => add("cpu", "cpu.max", format!("max {period}"), field),
            (false, period, quota) => {
                // The quota counts within the period, so a longer period goes first.
                period.into_iter().for_each(|p| add("cpu", "cpu.cfs_period_us", p.to_string(), field));
                quota.into_iter().for_each(|q| add("cpu", "cpu.cfs_quota_us", q.max(-1).to_string(), field));
            }
        }
        for (value, file) in [(cpu.cpus(), "cpuset.cpus"), (cpu.mems(), "cpuset.mems")] {
            value.iter().filter(|v| !v.is_empty()).for_each(|v| add("cpuset", file, v.clone(), field));
        }
    }
    if let Some(pids) = resources.pids() {
        let limit = if pids.limit() > 0 { pids.limit().to_string() } else { "max".to_owned() };
        add("pids", "pids.max", limit, "linux.resources.pids.limit");
    }
    if let Some(w) = resources.block_io().as_ref().and_then(|io| io.weight()) {
        match v2 {
            true => add(
                "io",
                "io.weight",
                (1 + u64::from(w.saturating_sub(10)) * 9999 / 990).to_string(),
                "linux.resources.blockIO.weight",
            ),
            false => add("blkio", "blkio.weight", w.to_string(), "linux.resources.blockIO.weight"),
        }
    }
    memory(resources, v2, &mut list)?;
    hugepages(resources, v2, &mut list);
    unified(resources, v2, &mut list)?;
    Ok(list)
}

fn memory(resources: &LinuxResources, v2: bool, list: &mut Vec<Write>) -> Result<(), Error> {
    let Some(memory) = resources.memory() else { return Ok(()) };
    let mut add = |file: &str, value: i64, field, optional| {
        let value = if value < 0 { if v2 { "max".to_owned() } else { "-1".to_owned() } } else { value.to_string() };
        list.push(Write { controller: "memory", file: file.to_owned(), value, field, optional });
    };
    let (limit, swap) = (memory.limit().filter(|l| *l != 0), memory.swap().filter(|s| *s != 0));
    if let (Some(limit), Some(swap)) = (limit, swap) {
        refuse("linux.resources.memory.swap", swap > 0 && (limit < 0 || swap < limit), "is below the memory limit")?;
    }
    let field = "linux.resources.memory.limit";
    limit.into_iter().for_each(|l| add(if v2 { "memory.max" } else { "memory.limit_in_bytes" }, l, field, false));
    if let Some(swap) = swap {
        // OCI's swap counts memory as well. Without swap accounting, no swap beyond the memory is what there is.
        let field = "linux.resources.memory.swap";
        let optional = swap < 0 || Some(swap) == limit;
        match v2 {
            true if swap < 0 => add("memory.swap.max", -1, field, optional),
            true => add("memory.swap.max", swap - limit.unwrap_or(swap), field, optional),
            false => add("memory.memsw.limit_in_bytes", swap, field, optional),
        }
    }
    let reservation = memory.reservation().filter(|r| *r != 0);
    let file = if v2 { "memory.low" } else { "memory.soft_limit_in_bytes" };
    reservation.into_iter().for_each(|r| add(file, r, "linux.resources.memory.reservation", false));
    Ok(())
}

fn hugepages(resources: &LinuxResources, v2: bool, list: &mut Vec<Write>) {
    for limit in resources.hugepage_limits().iter().flatten() {
        let file = format!("hugetlb.{}.{}", limit.page_size(), if v2 { "max" } else { "limit_in_bytes" });
        // kubelet sends 0 for every size: nothing to do where the controller is missing.
        list.push(Write {
            controller: "hugetlb",
            file,
            value: limit.limit().to_string(),
            field: "linux.resources.hugepageLimits",
            optional: limit.limit() == 0,
        });
    }
}

fn unified(resources: &LinuxResources, v2: bool, list: &mut Vec<Write>) -> Result<(), Error> {
    for (key, value) in resources.unified().iter().flatten() {
        refuse("linux.resources.unified", !v2, "needs cgroup v2")?;
        let bad = key.contains('/') || !key.contains('.') || key.starts_with("cgroup.");
        refuse("linux.resources.unified", bad, &format!("{key:?} is not a limit"))?;
        let write = Write {
            controller: "unified",
            file: key.clone(),
            value: value.clone(),
            field: "linux.resources.unified",
            optional: false,
        };
        list.push(write);
    }
    Ok(())
}

/// cgroup v2's weight of v1's shares, as Kubernetes converts them.
pub(crate) fn weight(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::{LinuxCpuBuilder, LinuxHugepageLimitBuilder, LinuxMemoryBuilder, LinuxResourcesBuilder};

    fn files(resources: &LinuxResources, v2: bool) -> Vec<(String, String)> {
        writes(resources, v2).unwrap().into_iter().map(|w| (w.file, w.value)).collect()
    }

    #[test]
    fn quota_and_swap_are_said_in_the_words_of_each_version() {
        let cpu = LinuxCpuBuilder::default().quota(50_000).period(100_000u64).build().unwrap();
        let memory = LinuxMemoryBuilder::default().limit(100).swap(100).build().unwrap();
        let resources = LinuxResourcesBuilder::default().cpu(cpu).memory(memory).build().unwrap();
        let v2 = files(&resources, true);
        assert!(v2.contains(&("cpu.max".into(), "50000 100000".into())), "{v2:?}");
        assert!(v2.contains(&("memory.swap.max".into(), "0".into())), "{v2:?}");
        let v1 = files(&resources, false);
        assert!(v1.contains(&("memory.memsw.limit_in_bytes".into(), "100".into())), "{v1:?}");
    }

    #[test]
    fn only_a_huge_page_limit_of_zero_may_be_missing() {
        let limit = |n| LinuxHugepageLimitBuilder::default().page_size("2MB").limit(n).build().unwrap();
        let resources = LinuxResourcesBuilder::default().hugepage_limits([limit(0), limit(1)]).build().unwrap();
        let optional: Vec<_> = writes(&resources, false).unwrap().iter().map(|w| w.optional).collect();
        assert_eq!(optional, [true, false]);
    }

    #[test]
    fn unified_is_refused_on_v1_and_for_files_that_are_no_limits() {
        let with =
            |key: &str| LinuxResourcesBuilder::default().unified([(key.to_owned(), "1".to_owned())]).build().unwrap();
        assert!(writes(&with("memory.high"), false).is_err());
        assert!(writes(&with("memory.high"), true).is_ok());
        assert!(writes(&with("cgroup.procs"), true).is_err());
        assert!(writes(&with("../memory.high"), true).is_err());
    }
}
