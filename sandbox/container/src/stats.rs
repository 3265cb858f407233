//! Resource use of a cgroup, and whether the OOM killer was at work in it.

use std::fs;

use cofferdam_pod_api::Stats;

use crate::cgroup::Cgroup;

impl Cgroup {
    /// What is not known on this kernel is absent.
    pub fn stats(&self) -> Stats {
        let text = |controller: &str, file: &str| {
            self.dir(controller).and_then(|d| fs::read_to_string(d.join(file)).ok()).unwrap_or_default()
        };
        let number = |controller: &str, file: &str| text(controller, file).trim().parse::<u64>().ok();
        let memory = text("memory", "memory.stat");
        let names: [&str; 5] = match self.v2() {
            true => ["inactive_file", "anon", "pgfault", "pgmajfault", ""],
            false => ["total_inactive_file", "total_rss", "total_pgfault", "total_pgmajfault", "total_swap"],
        };
        let [inactive, rss, faults, major, swap] = names.map(|name| field(&memory, name));
        let pick = |v1: &'static str, v2: &'static str| if self.v2() { v2 } else { v1 };
        let usage = number("memory", pick("memory.usage_in_bytes", "memory.current"));
        let cpu_ns = match self.v2() {
            true => field(&text("cpu", "cpu.stat"), "usage_usec").map(|us| us * 1000),
            false => number("cpuacct", "cpuacct.usage"),
        };
        Stats {
            cpu_ns,
            memory_usage: usage,
            memory_working_set: usage.map(|u| u.saturating_sub(inactive.unwrap_or(0))),
            memory_rss: rss,
            memory_limit: number("memory", pick("memory.limit_in_bytes", "memory.max")).filter(|l| *l < 1 << 62),
            page_faults: faults,
            major_page_faults: major,
            swap: if self.v2() { number("memory", "memory.swap.current") } else { swap },
            pids: number("pids", "pids.current"),
        }
    }

    /// How often the OOM killer killed in it.
    pub fn oom_count(&self) -> u64 {
        let file = if self.v2() { "memory.events" } else { "memory.oom_control" };
        let text = self.dir("memory").and_then(|d| fs::read_to_string(d.join(file)).ok()).unwrap_or_default();
        field(&text, "oom_kill").unwrap_or(0)
    }
}

fn field(text: &str, name: &str) -> Option<u64> {
    text.lines()
        .find_map(|l| l.split_once(' ').filter(|(key, _)| *key == name))
        .and_then(|(_, value)| value.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let text = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n";
        assert_eq!(super::field(text, "oom_kill"), Some(3));
        assert_eq!(super::field(text, "kill"), None);
    }
}
