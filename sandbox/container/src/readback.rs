//! Limits as the kernel has them: it rounds memory to pages and shares to weights.

use std::fs;

use oci_spec::runtime::{LinuxCpuBuilder, LinuxMemoryBuilder, LinuxPidsBuilder, LinuxResources, LinuxResourcesBuilder};

use crate::Error;
use crate::cgroup::Cgroup;
use crate::error::Step;

/// v1's word for "no limit" is the largest number of whole pages.
const NO_LIMIT: i64 = i64::MAX - 0xfff_ffff;

impl Cgroup {
    fn read(&self, controller: &str, file: &str) -> Option<String> {
        fs::read_to_string(self.dir(controller)?.join(file)).ok().map(|t| t.trim().to_owned())
    }

    fn number(&self, controller: &str, file: &str) -> Option<i64> {
        let text = self.read(controller, file)?;
        match text.as_str() {
            "max" => Some(-1),
            text => text.parse().ok().map(|n| if n >= NO_LIMIT { -1 } else { n }),
        }
    }

    /// The limits in force.
    pub fn read_back(&self) -> Result<LinuxResources, Error> {
        let mut cpu = LinuxCpuBuilder::default();
        let mut memory = LinuxMemoryBuilder::default();
        let (shares, quota, period) = if self.v2() { self.cpu_v2() } else { self.cpu_v1() };
        if let Some(shares) = shares {
            cpu = cpu.shares(shares);
        }
        if let Some(quota) = quota {
            cpu = cpu.quota(quota);
        }
        if let Some(period) = period {
            cpu = cpu.period(period);
        }
        if let Some(cpus) = self.read("cpuset", "cpuset.cpus").filter(|c| !c.is_empty()) {
            cpu = cpu.cpus(cpus);
        }
        if let Some(mems) = self.read("cpuset", "cpuset.mems").filter(|c| !c.is_empty()) {
            cpu = cpu.mems(mems);
        }
        let limit = self.number("memory", if self.v2() { "memory.max" } else { "memory.limit_in_bytes" });
        if let Some(limit) = limit {
            memory = memory.limit(limit);
        }
        let swap = match self.v2() {
            false => self.number("memory", "memory.memsw.limit_in_bytes"),
            true => self.number("memory", "memory.swap.max").map(|swap| match (swap, limit) {
                (-1, _) | (_, None | Some(-1)) => -1,
                (swap, Some(limit)) => swap + limit,
            }),
        };
        if let Some(swap) = swap {
            memory = memory.swap(swap);
        }
        let mut resources = LinuxResourcesBuilder::default()
            .cpu(cpu.build().step("read limits")?)
            .memory(memory.build().step("read limits")?);
        if let Some(limit) = self.number("pids", "pids.max") {
            resources = resources.pids(LinuxPidsBuilder::default().limit(limit).build().step("read limits")?);
        }
        resources.build().step("read limits")
    }

    fn cpu_v1(&self) -> (Option<u64>, Option<i64>, Option<u64>) {
        let unsigned = |file| self.number("cpu", file).and_then(|n| u64::try_from(n).ok());
        (unsigned("cpu.shares"), self.number("cpu", "cpu.cfs_quota_us"), unsigned("cpu.cfs_period_us"))
    }

    fn cpu_v2(&self) -> (Option<u64>, Option<i64>, Option<u64>) {
        let weight = self.number("cpu", "cpu.weight").and_then(|n| u64::try_from(n).ok());
        let shares = weight.map(|w| 2 + (w.max(1) - 1) * 262_142 / 9999);
        let max = self.read("cpu", "cpu.max").unwrap_or_default();
        let mut words = max.split(' ');
        let quota = words.next().and_then(|q| if q == "max" { Some(-1) } else { q.parse().ok() });
        (shares, quota, words.next().and_then(|p| p.parse().ok()))
    }
}
