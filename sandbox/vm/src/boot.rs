//! One boot: what the shim is asked, and what is told when it fails.

use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};

use cofferdam_pod_api::{BootConfig, GuestLink, GuestSetup};
use cofferdam_sandbox::{LinkEnd, PodLink, SandboxError, SandboxSpec};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::rand::{GetRandomFlags, getrandom};

use crate::VmConfig;
use crate::image::Image;
use crate::state::State;

/// Bytes of the console, and of the messages, that are kept: the first ones, since no more fit.
const LOG: u64 = 64 * 1024;

/// Bytes of a guest's seed.
const SEED: usize = 64;

/// Lines of each log in an error.
const LINES: usize = 8;

/// Names of a VM's cgroups below its pod's. Two attempts of one pod have the same cgroup, so the sandbox is part of the
/// names.
pub(crate) fn cgroups(spec: &SandboxSpec) -> [String; 2] {
    let pod = spec.cgroup.trim_end_matches('/');
    [format!("{pod}/sandbox-vmm-{}", spec.id), format!("{pod}/sandbox-fs-{}", spec.id)]
}

/// Where a pod's share is.
pub(crate) fn share(spec: &SandboxSpec) -> std::path::PathBuf {
    spec.dir.join("share")
}

/// A file in memory that cannot grow: whoever fills it, it takes no more.
pub(crate) struct BoundedLog(File);

impl BoundedLog {
    pub(crate) fn new() -> io::Result<Self> {
        let file = memfd_create("log", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        ftruncate(&file, LOG)?;
        fcntl_add_seals(&file, SealFlags::SEAL | SealFlags::GROW | SealFlags::SHRINK)?;
        Ok(BoundedLog(file.into()))
    }

    pub(crate) fn descriptor(&self) -> io::Result<OwnedFd> {
        self.0.as_fd().try_clone_to_owned()
    }

    /// The last lines, with everything unprintable taken out: some of it is a guest's.
    pub(crate) fn tail(&self) -> String {
        use std::os::unix::fs::FileExt;
        let mut bytes = vec![0; LOG as usize];
        // Reads whole: it is in memory.
        let length = self.0.read_at(&mut bytes, 0).unwrap_or_default();
        let end = bytes[..length].iter().position(|byte| *byte == 0).unwrap_or(length);
        tail(&String::from_utf8_lossy(&bytes[..end]))
    }
}

fn tail(text: &str) -> String {
    let clean = |line: &str| line.chars().filter(|c| !c.is_control()).take(256).collect::<String>();
    let lines: Vec<String> = text.lines().map(clean).filter(|line| !line.trim().is_empty()).collect();
    let last = lines.len().saturating_sub(LINES);
    // A trace behind it may be longer than what is kept.
    let cause = lines[..last].iter().rfind(|line| line.contains("Kernel panic") || line.contains("cofferdam-agent:"));
    cause.into_iter().chain(&lines[last..]).map(String::as_str).collect::<Vec<_>>().join(" | ")
}

/// The guest's end of a link.
fn guest_link(link: &PodLink) -> GuestLink {
    let addresses: Vec<IpAddr> = link.addresses.iter().map(|address| address.ip()).collect();
    GuestLink {
        mac: link.lease.mac,
        gateway_mac: link.lease.gateway_mac,
        addresses,
        gateways: link.gateways.clone(),
        mtu: link.mtu,
    }
}

fn setup(spec: &SandboxSpec, link: Option<&PodLink>) -> Result<GuestSetup, SandboxError> {
    let mut seed = vec![0; SEED];
    getrandom(&mut seed, GetRandomFlags::empty())
        .map_err(|error| SandboxError::failed("draw a guest's seed", error))?;
    Ok(GuestSetup {
        id: spec.id.clone(),
        hostname: spec.hostname.clone(),
        pid: spec.namespaces.pid,
        sysctls: spec.sysctls.clone(),
        shm_size: spec.shm_size,
        link: link.map(guest_link),
        powered_on: 0,
        seed,
        init_seccomp: spec.init_seccomp.clone(),
    })
}

/// What the shim is asked, and the descriptors for it.
pub(crate) fn request(
    config: &VmConfig,
    hardware: bool,
    image: &Image,
    spec: &SandboxSpec,
    state: State,
    link: Option<LinkEnd>,
    logs: [&BoundedLog; 2],
) -> Result<(BootConfig, Vec<OwnedFd>), SandboxError> {
    let mut fds = Vec::new();
    for log in logs {
        fds.push(log.descriptor().map_err(|error| SandboxError::failed("keep a VM's console", error))?);
    }
    let (link, tap) = link.map_or((None, None), |end| (Some(end.link), end.tap));
    if link.is_some() != tap.is_some() {
        return Err(SandboxError::failed("connect the VM", "its network made no tap"));
    }
    fds.extend(tap);
    let [vmm_cgroup, file_server_cgroup] = cgroups(spec);
    let boot = BootConfig {
        vmm: config.qemu.clone(),
        file_server: config.virtiofsd.clone(),
        kernel: image.kernel.clone(),
        initramfs: image.initramfs.clone(),
        hardware,
        cpus: state.cpus,
        memory: state.memory,
        uid: state.uid,
        share: share(spec),
        mac: link.as_ref().map(|link| link.lease.mac),
        vmm_cgroup,
        file_server_cgroup,
        setup: setup(spec, link.as_ref())?,
    };
    Ok((boot, fds))
}

/// Why a VM did not come up, with what its console and its processes said.
pub(crate) fn failure(reason: &str, console: &BoundedLog, messages: &BoundedLog) -> SandboxError {
    let part = |name: &str, text: String| if text.is_empty() { String::new() } else { format!("; {name}: {text}") };
    let said = part("QEMU and virtiofsd", messages.tail()) + &part("console", console.tail());
    SandboxError::failed(
        "boot of the VM",
        format!("{reason}{}", if said.is_empty() { "; nothing on its console".into() } else { said }),
    )
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_log_takes_what_fits_and_tells_its_last_lines_without_control_characters() {
        let log = BoundedLog::new().unwrap();
        let mut writer = File::from(log.descriptor().unwrap());
        writer.write_all(b"first\n\x1b[31mkernel panic\x07\n\n").unwrap();
        assert_eq!(log.tail(), "first | [31mkernel panic");
        assert!(writer.write_all(&vec![b'x'; 2 * LOG as usize]).is_err());
        assert!(writer.write_all(b"y").is_err() || log.0.metadata().unwrap().len() == LOG);
        assert!(
            failure("QEMU ended", &log, &log)
                .to_string()
                .starts_with("boot of the VM: QEMU ended; QEMU and virtiofsd: ")
        );
    }
}
