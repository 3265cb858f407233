//! What a test VM needs around it.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cofferdam_pod_client::cgroup;
use cofferdam_sandbox::{BootConfig, BootedProcesses, GuestSetup, NamespaceMode};
use cofferdam_vm::image::{BuildConfig, Image, KernelSource, build};
use cofferdam_vmm::{Descriptors, Ports, Qemu, Vmm};

pub struct World {
    pub dir: tempfile::TempDir,
    kernel: PathBuf,
    pub cgroup: String,
}

pub struct Vm {
    qemu: Qemu,
    console: File,
    messages: File,
    pub ports: Ports,
    pub watched: Vec<(String, OwnedFd)>,
    pub processes: BootedProcesses,
}

impl World {
    pub fn new() -> Option<Self> {
        let cache = PathBuf::from(std::env::var_os("HOME")?).join(".cache/cofferdam/packages");
        let packages = std::fs::read_dir(cache).into_iter().flatten().flatten().map(|entry| entry.path());
        let kernel = packages.filter(|path| path.to_string_lossy().contains("-cloud-amd64_")).max();
        let missing =
            match (&kernel, rustix::process::getuid().is_root(), Path::new("/usr/bin/qemu-system-x86_64").exists()) {
                (None, ..) => "no kernel package; tests/setup/packages.sh guest-kernel fetches it",
                (_, false, _) => "needs root",
                (.., false) => "no qemu-system-x86_64",
                _ => "",
            };
        if !missing.is_empty() {
            assert!(std::env::var_os("CI").is_none(), "{missing}");
            println!("skipped: {missing}");
            return None;
        }
        let cgroup = format!("/cofferdam-vm-test-{}", std::process::id());
        Some(World { dir: tempfile::tempdir().unwrap(), kernel: kernel?, cgroup })
    }

    pub fn init(&self) -> PathBuf {
        "/tmp/vminit".into()
    }

    pub fn image(&self, init: &Path) -> Image {
        let config = BuildConfig {
            image_dir: self.dir.path().join("images"),
            kernel: KernelSource::Package(self.kernel.clone()),
            agent: init.into(),
            cache: self.dir.path().join("cache"),
        };
        build(&config).unwrap().image
    }

    pub fn boot(&self, init: &Path, mebibytes: u64) -> Vm {
        let image = self.image(init);
        let pod = self.dir.path().join("pod");
        let share = pod.join("share");
        std::fs::create_dir_all(&share).unwrap();
        let started = Instant::now();
        let memfd = || {
            let flags = rustix::fs::MemfdFlags::CLOEXEC | rustix::fs::MemfdFlags::ALLOW_SEALING;
            let fd = rustix::fs::memfd_create("log", flags).unwrap();
            rustix::fs::ftruncate(&fd, 65536).unwrap();
            rustix::fs::fcntl_add_seals(&fd, rustix::fs::SealFlags::GROW | rustix::fs::SealFlags::SHRINK).unwrap();
            fd
        };
        let (console, messages) = (memfd(), memfd());
        let (vmm_cgroup, file_server_cgroup) =
            (format!("{}/sandbox-vmm", self.cgroup), format!("{}/sandbox-fs", self.cgroup));
        cgroup::make(&vmm_cgroup).unwrap();
        cgroup::make(&file_server_cgroup).unwrap();
        let config = BootConfig {
            vmm: "/usr/bin/qemu-system-x86_64".into(),
            file_server: "/usr/lib/qemu/virtiofsd".into(),
            kernel: image.kernel,
            initramfs: image.initramfs,
            hardware: false,
            cpus: 1,
            memory: mebibytes << 20,
            uid: 2_000_000_000,
            share,
            mac: None,
            vmm_cgroup,
            file_server_cgroup,
            setup: GuestSetup {
                id: "test".into(),
                hostname: "test".into(),
                pid: NamespaceMode::Container,
                sysctls: Default::default(),
                shm_size: 1 << 20,
                link: None,
                powered_on: 0,
                seed: vec![7; 64],
                init_seccomp: Vec::new(),
            },
        };
        let mut qemu = Qemu::new(pod);
        let descriptors =
            Descriptors { console: console.try_clone().unwrap(), messages: messages.try_clone().unwrap(), tap: None };
        let processes = qemu.boot(&config, descriptors).unwrap();
        println!("started in {:?}", started.elapsed());
        let (ports, watched) = (qemu.attach().unwrap(), qemu.wait().unwrap());
        Vm { qemu, console: console.into(), messages: messages.into(), ports, watched, processes }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = cgroup::kill(&self.cgroup);
        cgroup::remove(&self.cgroup).unwrap();
    }
}

fn text(file: &File) -> String {
    let mut copy = File::open(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(file))).unwrap();
    let mut bytes = Vec::new();
    copy.read_to_end(&mut bytes).unwrap();
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

impl Vm {
    pub fn console(&self) -> String {
        text(&self.console)
    }

    pub fn messages(&self) -> String {
        text(&self.messages)
    }

    pub fn ended(&self) -> bool {
        let mut polls: Vec<_> =
            self.watched.iter().map(|(_, fd)| rustix::event::PollFd::new(fd, rustix::event::PollFlags::IN)).collect();
        rustix::event::poll(&mut polls, Some(&rustix::event::Timespec::default())).unwrap() > 0
    }

    pub fn stop(&mut self) {
        self.qemu.stop();
    }
}

pub fn until(limit: Duration, what: &str, mut done: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
    start.elapsed()
}
