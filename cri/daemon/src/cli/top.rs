//! `top`: CPU and memory of containers, once or again and again.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use cofferdam_cri_api::v1 as cri;
use serde::Serialize;

use super::connect::Clients;
use super::error::CliError;
use super::output::{Format, Show, bytes, print, show, table};

/// From one reading to the next: CPU is a rate.
const PERIOD: Duration = Duration::from_secs(1);

/// Options of `top`.
#[derive(Debug, Args)]
pub struct Command {
    /// Show it again every second
    #[arg(short, long)]
    watch: bool,
    /// How to show it
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct View {
    namespace: String,
    pod: String,
    container: String,
    id: String,
    cpu_nano_cores: Option<u64>,
    memory_bytes: Option<u64>,
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Views(Vec<View>);

impl Show for Views {
    fn text(&self) -> String {
        let row = |v: &View| {
            let cpu = v.cpu_nano_cores.map(|nano| format!("{}m", nano.div_ceil(1_000_000))).unwrap_or_default();
            let memory = v.memory_bytes.map(bytes).unwrap_or_default();
            vec![v.namespace.clone(), v.pod.clone(), v.container.clone(), cpu, memory]
        };
        table(&["NAMESPACE", "POD", "CONTAINER", "CPU", "MEMORY"], self.0.iter().map(row))
    }
}

type Reading = Vec<cri::ContainerStats>;

async fn read(clients: &mut Clients) -> Result<Reading, CliError> {
    let request = cri::ListContainerStatsRequest { filter: None };
    Ok(clients.runtime.list_container_stats(request).await?.into_inner().stats)
}

/// The rate between two readings of the CPU's use; `None`: the container was not there at the first.
fn rate(before: &cri::CpuUsage, after: &cri::CpuUsage) -> Option<u64> {
    let used = |c: &cri::CpuUsage| c.usage_core_nano_seconds.as_ref().map(|u| u.value);
    let time = u64::try_from(after.timestamp - before.timestamp).ok().filter(|t| *t > 0)?;
    let work = used(after)?.saturating_sub(used(before)?);
    u64::try_from(u128::from(work) * 1_000_000_000 / u128::from(time)).ok()
}

fn views(before: &Reading, after: &Reading) -> Views {
    let id = |s: &cri::ContainerStats| s.attributes.as_ref().map(|a| a.id.clone()).unwrap_or_default();
    let old: BTreeMap<String, &cri::CpuUsage> = before.iter().filter_map(|s| Some((id(s), s.cpu.as_ref()?))).collect();
    let view = |s: &cri::ContainerStats| {
        let attributes = s.attributes.clone().unwrap_or_default();
        let label = |key: &str| attributes.labels.get(key).cloned().unwrap_or_default();
        View {
            namespace: label("io.kubernetes.pod.namespace"),
            pod: label("io.kubernetes.pod.name"),
            container: attributes.metadata.clone().unwrap_or_default().name,
            cpu_nano_cores: old.get(&attributes.id).zip(s.cpu.as_ref()).and_then(|(old, new)| rate(old, new)),
            memory_bytes: s.memory.as_ref().and_then(|m| m.working_set_bytes).map(|m| m.value),
            id: attributes.id,
        }
    };
    let mut views: Vec<View> = after.iter().map(view).collect();
    views.sort_by(|a, b| (&a.namespace, &a.pod, &a.container).cmp(&(&b.namespace, &b.pod, &b.container)));
    Views(views)
}

/// Runs it.
pub async fn run(mut clients: Clients, command: Command) -> Result<u8, CliError> {
    let mut before = read(&mut clients).await?;
    loop {
        tokio::time::sleep(PERIOD).await;
        let after = read(&mut clients).await?;
        if command.watch && command.output == Format::Table {
            // Home, and what is below is cleared: the screen does not flicker.
            print("\x1b[H\x1b[J")?;
        }
        show(&views(&before, &after), command.output)?;
        if !command.watch {
            return Ok(0);
        }
        before = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats(time: i64, used: u64) -> cri::ContainerStats {
        let value = |value| Some(cri::UInt64Value { value });
        cri::ContainerStats {
            attributes: Some(cri::ContainerAttributes { id: "a".into(), ..Default::default() }),
            cpu: Some(cri::CpuUsage { timestamp: time, usage_core_nano_seconds: value(used), ..Default::default() }),
            memory: Some(cri::MemoryUsage { working_set_bytes: value(4096), ..Default::default() }),
            ..Default::default()
        }
    }

    #[test]
    fn cpu_is_a_rate_between_two_readings() {
        let second = 1_000_000_000;
        let views = views(&vec![stats(second, 100)], &vec![stats(3 * second, 100 + second as u64)]);
        assert_eq!((views.0[0].cpu_nano_cores, views.0[0].memory_bytes), (Some(500_000_000), Some(4096)));
        assert!(views.text().contains("500m"), "{}", views.text());
    }

    #[test]
    fn a_container_that_is_new_has_no_rate_yet() {
        assert_eq!(super::views(&vec![], &vec![stats(1, 1)]).0[0].cpu_nano_cores, None);
    }
}
