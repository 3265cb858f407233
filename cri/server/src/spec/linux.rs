//! The Linux part of a container's spec: cgroup, limits, devices, masked paths.

use std::path::Path;

use cofferdam_cri_api::v1 as cri;
use oci_spec::runtime::{Linux, LinuxBuilder, LinuxDeviceCgroupBuilder};

use super::devices::Devices;
use super::error::{SpecError, builder};
use super::inputs::ContainerInputs;
use super::resources;

/// Hidden when the container does not say otherwise; kubelet sends its own list, other clients none.
const MASKED: [&str; 10] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/sys/firmware",
];
const MASKED_MORE: [&str; 3] = ["/proc/scsi", "/sys/devices/virtual/powercap", "/sys/fs/bpf"];
const READONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

pub(super) fn linux(
    inputs: &ContainerInputs<'_>,
    security: &cri::LinuxContainerSecurityContext,
    devices: &Devices,
) -> Result<Linux, SpecError> {
    let asked = inputs.config.linux.as_ref().and_then(|l| l.resources.clone()).unwrap_or_default();
    let mut limits = resources::to_oci(&asked)?;
    let deny_all = LinuxDeviceCgroupBuilder::default().allow(false).access("rwm").build().map_err(builder)?;
    limits.set_devices(Some([vec![deny_all], devices.rules.clone()].concat()));
    let (masked, readonly) = paths(security, inputs.masked);
    let mut linux = LinuxBuilder::default()
        .resources(limits)
        .cgroups_path(Path::new(&inputs.sandbox.cgroup).join(inputs.id))
        .devices(devices.nodes.clone())
        .masked_paths(masked)
        .readonly_paths(readonly)
        .rootfs_propagation("rprivate")
        .build()
        .map_err(builder)?;
    // The builder's defaults name namespaces; here the sandbox decides them.
    linux.set_namespaces(None);
    linux.set_seccomp(None);
    Ok(linux)
}

fn paths(security: &cri::LinuxContainerSecurityContext, enforced: bool) -> (Vec<String>, Vec<String>) {
    let usual = || (owned(&[MASKED.as_slice(), MASKED_MORE.as_slice()].concat()), owned(&READONLY));
    if enforced {
        let (masked, readonly) = usual();
        return (joined(masked, &security.masked_paths), joined(readonly, &security.readonly_paths));
    }
    if security.privileged {
        return (Vec::new(), Vec::new());
    }
    // kubelet expresses `procMount: Unmasked` by two empty lists in a user namespace, where they are harmless;
    // other clients leave both empty and mean the defaults.
    let unmasked = security.masked_paths.is_empty()
        && security.readonly_paths.is_empty()
        && security
            .namespace_options
            .as_ref()
            .is_some_and(|n| n.userns_options.as_ref().is_some_and(|u| u.mode() == cri::NamespaceMode::Pod));
    if unmasked {
        return (Vec::new(), Vec::new());
    }
    let or = |asked: &Vec<String>, usual: Vec<String>| if asked.is_empty() { usual } else { asked.clone() };
    let (masked, readonly) = usual();
    (or(&security.masked_paths, masked), or(&security.readonly_paths, readonly))
}

fn owned(list: &[&str]) -> Vec<String> {
    list.iter().map(|p| p.to_string()).collect()
}

fn joined(mut usual: Vec<String>, asked: &[String]) -> Vec<String> {
    let more: Vec<String> = asked.iter().filter(|path| !usual.contains(path)).cloned().collect();
    usual.extend(more);
    usual
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_another_path_does_not_unmask_what_is_enforced() {
        let security = cri::LinuxContainerSecurityContext {
            masked_paths: vec!["/nowhere".into()],
            readonly_paths: vec!["/nowhere".into()],
            ..Default::default()
        };
        let (masked, readonly) = paths(&security, true);
        assert!(masked.contains(&"/proc/kcore".to_owned()) && masked.contains(&"/nowhere".to_owned()));
        assert!(readonly.contains(&"/proc/sysrq-trigger".to_owned()) && readonly.contains(&"/proc/sys".to_owned()));
        assert_eq!(paths(&security, false), (vec!["/nowhere".to_owned()], vec!["/nowhere".to_owned()]));
        assert_eq!(paths(&Default::default(), true), paths(&Default::default(), false));
    }
}
