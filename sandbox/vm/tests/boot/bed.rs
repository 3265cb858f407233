//! What a test VM needs around it.
#![allow(clippy::unwrap_used, clippy::expect_used)] // A test that unwraps fails with the line it is about.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use cofferdam_pod_api::{BootConfig, BootedProcesses, GuestSetup};
use cofferdam_pod_client::cgroup;
use cofferdam_sandbox::{ContainerRootfs, ContainerSpec, NamespaceMode, Stdio};
use cofferdam_test_support::{Node, eventually, guest_kernel_package};
use cofferdam_vm::image::{BuildConfig, Image, KernelSource, build};
use cofferdam_vm::{StagePlan, plan};
use cofferdam_vmm::{Descriptors, Qemu, Vmm, VmmError};
use oci_spec::runtime::{MountBuilder, Spec};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};

pub struct VmBed {
    pub node: Node,
    kernel: PathBuf,
}

pub struct Vm {
    qemu: Qemu,
    console: File,
    messages: File,
    watched: Vec<(String, OwnedFd)>,
    processes: BootedProcesses,
}

impl VmBed {
    pub fn new() -> Self {
        let kernel = guest_kernel_package().unwrap();
        let bed = VmBed { node: Node::new("vm").unwrap(), kernel };
        std::fs::create_dir_all(bed.volume()).unwrap();
        bed
    }

    pub fn cgroup(&self) -> &str {
        self.node.cgroup()
    }

    pub fn share(&self) -> PathBuf {
        self.node.dir().join("pod/share")
    }

    pub fn volume(&self) -> PathBuf {
        self.node.dir().join("volume")
    }

    pub fn upper(&self, container: &str) -> PathBuf {
        self.node.dir().join(container).join("upper")
    }

    /// A container with one volume.
    pub fn plan(&self, id: &str, options: &[&str]) -> StagePlan {
        let part = |name: &str| {
            let dir = self.node.dir().join(id).join(name);
            std::fs::create_dir_all(&dir).unwrap();
            dir
        };
        let options = options.iter().map(|option| option.to_string()).chain(["rbind".to_owned()]).collect::<Vec<_>>();
        let volume = MountBuilder::default().destination("/v").typ("bind").source(self.volume()).options(options);
        let mut oci = Spec::default();
        oci.set_mounts(Some(vec![volume.build().unwrap()]));
        let spec = ContainerSpec {
            id: id.into(),
            name: id.into(),
            oci,
            rootfs: ContainerRootfs { lower: vec![part("lower")], upper: part("upper"), work: part("work") },
            seccomp: Vec::new(),
            stdio: Stdio::default(),
            pid_target: None,
            extensions: Default::default(),
        };
        plan(spec, &self.node.dir().join("pod")).unwrap()
    }

    /// A static program that tells on the console what it finds.
    pub fn init(&self) -> PathBuf {
        let out = self.node.dir().join("init");
        if !out.exists() {
            let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/boot/init.c");
            let status = std::process::Command::new("cc").args(["-static", "-O1", "-o"]).arg(&out).arg(source).status();
            assert!(status.unwrap().success());
        }
        out
    }

    fn image(&self, init: &Path) -> Image {
        let config = BuildConfig {
            image_dir: self.node.dir().join("images"),
            kernel: KernelSource::Package(self.kernel.clone()),
            agent: init.into(),
            cache: self.node.dir().join("cache"),
        };
        build(&config).unwrap().image
    }

    pub fn boot(&self, init: &Path, mebibytes: u64, vmm: &Path) -> Result<Vm, VmmError> {
        let image = self.image(init);
        let [vmm_cgroup, file_server_cgroup] =
            ["sandbox-vmm", "sandbox-fs"].map(|name| format!("{}/{name}", self.node.cgroup()));
        cgroup::make(&vmm_cgroup).unwrap();
        cgroup::make(&file_server_cgroup).unwrap();
        let config = BootConfig {
            vmm: vmm.into(),
            file_server: "/usr/lib/qemu/virtiofsd".into(),
            kernel: image.kernel,
            initramfs: image.initramfs,
            hardware: false,
            cpus: 1,
            memory: mebibytes << 20,
            uid: 2_000_000_000,
            share: self.share(),
            mac: None,
            vmm_cgroup,
            file_server_cgroup,
            setup: setup(),
        };
        let mut qemu = Qemu::new(self.node.dir().join("pod"));
        let (console, messages) = (log(), log());
        let descriptors = Descriptors {
            console: console.try_clone().unwrap().into(),
            messages: messages.try_clone().unwrap().into(),
            tap: None,
        };
        let processes = qemu.boot(&config, descriptors)?;
        let watched = qemu.wait()?;
        Ok(Vm { qemu, console, messages, watched, processes })
    }
}

fn setup() -> GuestSetup {
    GuestSetup {
        id: "test".into(),
        hostname: "test".into(),
        pid: NamespaceMode::Container,
        sysctls: Default::default(),
        shm_size: 1 << 20,
        link: None,
        powered_on: 0,
        seed: vec![7; 64],
        init_seccomp: Vec::new(),
    }
}

impl Drop for VmBed {
    fn drop(&mut self) {
        let _ = cgroup::kill(self.cgroup());
        let _ = cofferdam_vm::share::remove(&self.share());
    }
}

fn log() -> File {
    let fd = memfd_create("log", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
    ftruncate(&fd, 65536).unwrap();
    fcntl_add_seals(&fd, SealFlags::GROW | SealFlags::SHRINK).unwrap();
    fd.into()
}

fn text(file: &File) -> String {
    let mut bytes = vec![0; 65536];
    file.read_exact_at(&mut bytes, 0).unwrap();
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

impl Vm {
    pub fn console(&self) -> String {
        text(&self.console)
    }

    /// QEMU and the file server.
    pub fn pids(&self) -> [u32; 2] {
        [self.processes.vmm, self.processes.file_server]
    }

    pub fn ended(&self) -> bool {
        let mut polls: Vec<_> = self.watched.iter().map(|(_, fd)| PollFd::new(fd, PollFlags::IN)).collect();
        poll(&mut polls, Some(&Timespec::default())).unwrap() > 0
    }

    pub fn wait_for(&self, line: &str) {
        eventually(line, || {
            assert!(!self.ended(), "{}{}", self.console(), text(&self.messages));
            self.console().contains(line)
        })
        .unwrap();
    }

    pub fn stop(&mut self) {
        self.qemu.stop();
    }
}

/// Reaps it if it has ended.
pub fn is_alive(pid: u32) -> bool {
    use rustix::process::{Pid, WaitOptions, waitpid};
    let _ = waitpid(Pid::from_raw(pid as i32), WaitOptions::NOHANG);
    Path::new(&format!("/proc/{pid}")).exists()
}
