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
    let (masked, readonly) = paths(security);
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

fn paths(security: &cri::LinuxContainerSecurityContext) -> (Vec<String>, Vec<String>) {
    let owned = |list: &[&str]| list.iter().map(|p| p.to_string()).collect::<Vec<_>>();
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
    let masked = if security.masked_paths.is_empty() {
        [owned(&MASKED), owned(&MASKED_MORE)].concat()
    } else {
        security.masked_paths.clone()
    };
    let readonly = if security.readonly_paths.is_empty() { owned(&READONLY) } else { security.readonly_paths.clone() };
    (masked, readonly)
}
