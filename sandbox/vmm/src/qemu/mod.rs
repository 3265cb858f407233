//! [`Vmm`] over QEMU and virtiofsd.

mod args;

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use cofferdam_pod_api::{BootConfig, BootedProcesses};
use cofferdam_sys::process::Spawned;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use crate::child::{self, Program, User};
use crate::error::Step;
use crate::root::{BindKind, Root};
use crate::{Descriptors, Ports, Vmm, VmmError, files};
use args::Numbers;

/// Most descriptors that QEMU may open: its own, and one or two a device.
const FILES: u64 = 1024;

const KVM: &str = "/dev/kvm";

/// QEMU and virtiofsd as one VM.
pub struct Qemu {
    dir: PathBuf,
    file_server: Option<OwnedFd>,
    vmm: Option<OwnedFd>,
    ports: Option<Ports>,
}

impl Qemu {
    /// One that is not started. The directory is the pod's own: roots of processes are made over it.
    pub fn new(dir: PathBuf) -> Self {
        Qemu { dir, file_server: None, vmm: None, ports: None }
    }

    fn start_qemu(
        &self,
        config: &BootConfig,
        descriptors: &Descriptors,
        share: &OwnedFd,
    ) -> Result<(Spawned, Ports), VmmError> {
        let pair = || {
            socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
                .step("make the guest's ports")
        };
        let ((control, qemu_control), (data, qemu_data)) = (pair()?, pair()?);
        let numbers = Numbers {
            control: qemu_control.as_raw_fd(),
            data: qemu_data.as_raw_fd(),
            share: share.as_raw_fd(),
            tap: descriptors.tap.as_ref().map(|tap| tap.as_raw_fd()),
        };
        let mut keep = vec![qemu_control.as_fd(), qemu_data.as_fd(), share.as_fd()];
        keep.extend(descriptors.tap.as_ref().map(|tap| tap.as_fd()));
        let spawned = child::start(&Program {
            name: "qemu",
            args: args::arguments(config, numbers),
            root: root(config),
            at: &self.dir,
            cgroup: &config.vmm_cgroup,
            user: User::Plain { uid: config.uid, groups: groups(config.hardware)? },
            keep,
            stdout: descriptors.console.as_fd(),
            stderr: descriptors.messages.as_fd(),
            files: FILES,
        })?;
        Ok((spawned, Ports { control, data }))
    }
}

fn root(config: &BootConfig) -> Root {
    let root = Root::of_program(&config.vmm).with(&config.kernel, args::KERNEL, BindKind::ReadOnly).with(
        &config.initramfs,
        args::INITRAMFS,
        BindKind::ReadOnly,
    );
    if config.hardware { root.with(Path::new(KVM), "dev/kvm", BindKind::Device) } else { root }
}

// /dev/kvm belongs to a group; that one is all that QEMU gets.
fn groups(hardware: bool) -> Result<Vec<u32>, VmmError> {
    if !hardware {
        return Ok(Vec::new());
    }
    let gid = std::fs::metadata(KVM).step(KVM)?.gid();
    Ok(if gid == 0 { Vec::new() } else { vec![gid] })
}

impl Vmm for Qemu {
    fn boot(&mut self, config: &BootConfig, descriptors: Descriptors) -> Result<BootedProcesses, VmmError> {
        let (file_server, share) = files::start(config, &descriptors, &self.dir)?;
        self.file_server = Some(file_server.pidfd);
        let started = self.start_qemu(config, &descriptors, &share).inspect_err(|_| self.stop());
        let (vmm, ports) = started?;
        (self.vmm, self.ports) = (Some(vmm.pidfd), Some(ports));
        Ok(BootedProcesses { vmm: vmm.pid as u32, file_server: file_server.pid as u32 })
    }

    fn attach(&mut self) -> Result<Ports, VmmError> {
        self.ports.take().ok_or_else(|| VmmError::failed("connect to the guest's ports", "there is no VM"))
    }

    fn wait(&mut self) -> Result<Vec<(String, OwnedFd)>, VmmError> {
        let both = [("QEMU", &self.vmm), ("virtiofsd", &self.file_server)];
        let watched = both.into_iter().filter_map(|(name, pidfd)| pidfd.as_ref().map(|pidfd| (name, pidfd)));
        watched.map(|(name, pidfd)| Ok((name.to_owned(), pidfd.try_clone().step("watch the processes")?))).collect()
    }

    // Once the shim is no longer root it may not kill virtiofsd, which ends by itself when QEMU has.
    fn stop(&mut self) {
        self.ports = None;
        for pidfd in [self.vmm.take(), self.file_server.take()].into_iter().flatten() {
            child::kill(&pidfd);
        }
    }
}
