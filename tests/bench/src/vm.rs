//! A pod in a VM, and the same kernel booted by QEMU with nothing around it.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use cofferdam_test_images::{debian, dies_with_parent};
use cofferdam_test_support::{Daemon, ensure_vm_image, image};

use crate::cri::{Client, milliseconds};
use crate::pod::Pod;
use crate::table::{Series, head, row};

/// What init prints. The kernel starts `/echo` (busybox) as init; that it panics when echo ends comes after this.
const MARKER: &str = "user-space-reached";

/// VM pods and bare boots in turn.
pub async fn compare(daemon: &Daemon, n: usize) -> Result<()> {
    let mut client = Client::connect(&daemon.socket(), "vm").await?;
    client.pull(&image("busybox")).await?;
    let bare = Bare::prepare(daemon.dir())?;
    let (mut pods, mut boots) = (Series::default(), Series::default());
    for turn in 0..=n {
        let pod = Pod::new(daemon.cgroup_root(), daemon.dir())?;
        let started = client.start(&pod).await.context("a pod in a VM")?;
        client.end(&started).await?;
        let boot = bare.boot()?;
        if turn > 0 {
            pods.add(started.steps.iter().sum());
            boots.add(boot);
        }
    }
    head(&format!("pods in VMs, n={n}, {}", acceleration()), "cofferdam", "bare QEMU");
    row("start, total", "ms", &pods, &boots, Some(1.6));
    Ok(())
}

/// Kernel and initramfs of the pods' guests, with another init.
struct Bare {
    kernel: String,
    initramfs: String,
}

impl Bare {
    fn prepare(dir: &Path) -> Result<Self> {
        let image = ensure_vm_image()?.join("current").canonicalize()?;
        let kernel = image.join("vmlinux");
        ensure!(kernel.is_file(), "no {}", kernel.display());
        let deb = debian::packages(&["busybox-static"])?.pop().context("no busybox")?;
        let busybox = debian::file(&deb, "bin/busybox")?;
        // Archives may follow one another.
        let initramfs = dir.join("bare-initramfs");
        let mut out = File::create(&initramfs)?;
        out.write_all(&fs::read(image.join("initramfs"))?)?;
        out.write_all(&archive("echo", &busybox))?;
        Ok(Self { kernel: kernel.display().to_string(), initramfs: initramfs.display().to_string() })
    }

    /// From the start of QEMU to the first words of init, in milliseconds.
    fn boot(&self) -> Result<f64> {
        let began = Instant::now();
        let mut child = self.command().stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("start QEMU")?;
        let stdout = child.stdout.take().context("QEMU has no output")?;
        let reached = wait_for_marker(stdout);
        let time = milliseconds(began);
        child.kill()?;
        child.wait()?;
        reached.map(|()| time)
    }

    /// The machine of a VM pod (sandbox/vmm), without its devices.
    fn command(&self) -> Command {
        let mut command = dies_with_parent();
        command.args([
            "timeout",
            "60",
            "qemu-system-x86_64",
            "-nodefaults",
            "-no-user-config",
            "-no-reboot",
            "-display",
            "none",
        ]);
        let machine = "q35,memory-backend=ram,usb=off,sata=off,smbus=off,vmport=off,i8042=off,hpet=off,graphics=off";
        command.args(["-machine", machine, "-object", "memory-backend-memfd,id=ram,size=256M,share=on", "-m", "256M"]);
        let kvm = ["-accel", "kvm", "-cpu", "host"];
        let tcg = ["-accel", "tcg,thread=multi,tb-size=32", "-cpu", "max"];
        command.args(if hardware() { kvm } else { tcg });
        command.args(["-smp", "1", "-kernel", &self.kernel, "-initrd", &self.initramfs]);
        command.args(["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console", "-append"]);
        command.arg(format!("console=ttyS0 quiet panic=-1 reboot=t rcupdate.rcu_expedited=1 rdinit=/echo -- {MARKER}"));
        command
    }
}

fn wait_for_marker(mut from: impl std::io::Read) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(60);
    let (mut seen, mut buffer) = (Vec::new(), [0; 1024]);
    while Instant::now() < deadline {
        let count = from.read(&mut buffer)?;
        seen.extend(&buffer[..count]);
        let text = String::from_utf8_lossy(&seen);
        if text.contains(MARKER) {
            return Ok(());
        }
        if count == 0 {
            bail!("QEMU ended before init: {text}");
        }
    }
    bail!("the kernel did not reach init")
}

/// The same rule as Cofferdam's: a /dev/kvm that opens, on a CPU that has it.
fn hardware() -> bool {
    let flags = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    flags.split_whitespace().any(|flag| flag == "vmx" || flag == "svm") && File::open("/dev/kvm").is_ok()
}

fn acceleration() -> &'static str {
    if hardware() { "KVM" } else { "emulated" }
}

/// A cpio archive (newc) of one executable.
fn archive(name: &str, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, mode, data) in [(name, 0o100_755, data), ("TRAILER!!!", 0, &[][..])] {
        let fields = [1, mode, 0, 0, 1, 0, data.len(), 0, 0, 0, 0, name.len() + 1, 0];
        out.extend(b"070701");
        out.extend(fields.map(|field| format!("{field:08x}")).concat().bytes());
        out.extend(name.bytes());
        out.push(0);
        out.resize(out.len().next_multiple_of(4), 0);
        out.extend(data);
        out.resize(out.len().next_multiple_of(4), 0);
    }
    out
}
