//! QEMU with the guest image, and virtiofsd with a share; both end with the value.

use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use cofferdam_test_support::{PATIENCE, bin_dir, eventually, guest_kernel_package};
use cofferdam_vm::image::{BuildConfig, Image, KernelSource, build};

/// MAC address of the guest's interface.
pub const MAC: &str = "02:00:00:00:00:07";
const VIRTIOFSD: &str = "/usr/lib/qemu/virtiofsd";
/// What the guest is told by its kernel's command line.
const COMMAND_LINE: &str = "console=ttyS0 quiet panic=-1 reboot=t rcupdate.rcu_expedited=1";

/// A guest.
pub struct Vm {
    qemu: Child,
    virtiofsd: Option<Child>,
    dir: PathBuf,
    pub started: Instant,
}

impl Vm {
    /// Starts a guest with these ports. `share` is what it finds at `/share`.
    pub fn start(dir: &Path, ports: &[&str], share: Option<&Path>) -> Result<Self> {
        let image = image(dir)?;
        let virtiofsd = share.map(|share| start_virtiofsd(dir, share)).transpose()?;
        let started = Instant::now();
        let qemu = start_qemu(dir, &image, ports, share.is_some())?;
        Ok(Vm { qemu, virtiofsd, dir: dir.to_owned(), started })
    }

    /// Connects to a port.
    pub fn port(&self, name: &str) -> Result<UnixStream> {
        let path = self.dir.join(name);
        eventually("QEMU listens", || Ok(UnixStream::connect(&path).is_ok()))?;
        let stream = UnixStream::connect(&path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(stream)
    }

    /// What the guest wrote to its console.
    pub fn console(&self) -> String {
        std::fs::read(self.dir.join("console"))
            .map_or_else(|e| e.to_string(), |b| String::from_utf8_lossy(&b).into_owned())
    }

    /// Waits until the machine is off.
    pub fn wait_off(&mut self) -> Result<ExitStatus> {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.qemu.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > until {
                bail!("QEMU still runs; console: {}", self.console());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        for child in [Some(&mut self.qemu), self.virtiofsd.as_mut()].into_iter().flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The guest image with the agent of `make build`.
fn image(dir: &Path) -> Result<Image> {
    let agent = bin_dir().join("cofferdam-agent");
    ensure!(agent.is_file(), "no {}: `make build` comes first", agent.display());
    let kernel = KernelSource::Package(guest_kernel_package()?);
    let config = BuildConfig { image_dir: dir.join("image"), kernel, agent, cache: dir.join("cache") };
    Ok(build(&config)?.image)
}

fn start_virtiofsd(dir: &Path, share: &Path) -> Result<Child> {
    let listener = UnixListener::bind(dir.join("fs"))?;
    // virtiofsd takes the listening socket as its standard input: the one descriptor that can be named without unsafe
    // code.
    let fd = listener.as_fd().try_clone_to_owned()?;
    let log = std::fs::File::create(dir.join("virtiofsd"))?;
    let mut command = Command::new(VIRTIOFSD);
    command
        .args(["--fd=0", "-o", "sandbox=chroot", "-o", "cache=auto", "-o"])
        .arg(format!("source={}", share.display()));
    command.stdin(Stdio::from(fd)).stdout(Stdio::null()).stderr(log).spawn().context(VIRTIOFSD)
}

fn start_qemu(dir: &Path, image: &Image, ports: &[&str], share: bool) -> Result<Child> {
    let at = |name: &str| dir.join(name).display().to_string();
    let mut command = Command::new("qemu-system-x86_64");
    command.args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-accel", "tcg", "-cpu", "max"]);
    command.args(["-machine", "q35,memory-backend=ram", "-m", "256M", "-smp", "1"]);
    command.args(["-object", "memory-backend-memfd,id=ram,size=256M,share=on"]);
    command.arg("-kernel").arg(&image.kernel).arg("-initrd").arg(&image.initramfs).args(["-append", COMMAND_LINE]);
    command.args(["-serial".into(), format!("file:{}", at("console"))]);
    command.args(["-device", "virtio-serial-pci"]);
    for name in ports {
        command.args(["-chardev".into(), format!("socket,id={name},server=on,wait=off,path={}", at(name))]);
        command.args(["-device".into(), format!("virtserialport,chardev={name},name={name}")]);
    }
    command.args(["-netdev", "hubport,hubid=0,id=net"]);
    command.args(["-device".into(), format!("virtio-net-pci,netdev=net,mac={MAC},romfile=")]);
    if share {
        command.args(["-chardev".into(), format!("socket,id=fs,path={}", at("fs"))]);
        command.args(["-device", "vhost-user-fs-pci,chardev=fs,tag=cofferdam"]);
    }
    let log = std::fs::File::create(dir.join("qemu"))?;
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().context("qemu-system-x86_64")
}
