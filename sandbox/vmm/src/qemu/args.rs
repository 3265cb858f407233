//! QEMU's arguments: pure.

use cofferdam_pod_api::{BootConfig, CONTROL_PORT, DATA_PORT, SHARE_TAG};

/// Where kernel and initramfs are in QEMU's root directory.
pub(crate) const KERNEL: &str = "image/vmlinux";
pub(crate) const INITRAMFS: &str = "image/initramfs";

/// Code that emulation may keep translated, MiB: it counts in the pod's memory.
const TRANSLATED: u32 = 32;

/// What the guest's kernel is told. A panic ends QEMU (`-no-reboot`), so it is noticed at once.
// `no_timer_check`: the kernel's look at whether the timer's interrupts come fails, and with it the boot, when the node
// is so busy that an emulated CPU stands still for some milliseconds. Hypervisors that the kernel knows switch it off
// themselves.
const COMMAND_LINE: &str = "console=ttyS0 quiet panic=-1 reboot=t no_timer_check rcupdate.rcu_expedited=1";

/// Numbers of the descriptors that QEMU inherits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Numbers {
    pub(crate) control: i32,
    pub(crate) data: i32,
    pub(crate) share: i32,
    pub(crate) tap: Option<i32>,
}

/// All of them, the binary first. The console goes to the standard output.
pub(crate) fn arguments(config: &BootConfig, fds: Numbers) -> Vec<String> {
    let mut args = vec![config.vmm.to_string_lossy().into_owned()];
    let mut add = |option: &str, value: String| args.extend([format!("-{option}"), value]);
    let (accel, cpu) = match config.hardware {
        true => ("kvm".to_owned(), "host"),
        false => (format!("tcg,thread=multi,tb-size={TRANSLATED}"), "max"),
    };
    add("name", format!("cofferdam-{}", config.setup.id));
    add("sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny".into());
    add(
        "machine",
        "q35,memory-backend=ram,usb=off,sata=off,smbus=off,vmport=off,i8042=off,hpet=off,dump-guest-core=off".into(),
    );
    add("accel", accel);
    add("cpu", cpu.into());
    add("smp", format!("cpus={0},maxcpus={0}", config.cpus));
    let mebibytes = config.memory >> 20;
    add("m", format!("{mebibytes}M"));
    add("object", format!("memory-backend-memfd,id=ram,size={mebibytes}M,share=on"));
    add("kernel", format!("/{KERNEL}"));
    add("initrd", format!("/{INITRAMFS}"));
    add("append", COMMAND_LINE.into());
    add("chardev", "stdio,id=console,signal=off".into());
    add("serial", "chardev:console".into());
    add("chardev", format!("socket,id=control,fd={}", fds.control));
    add("chardev", format!("socket,id=data,fd={}", fds.data));
    add("device", "virtio-serial-pci,id=ports,disable-legacy=on,max_ports=3".into());
    add("device", format!("virtserialport,bus=ports.0,nr=1,chardev=control,name={CONTROL_PORT}"));
    add("device", format!("virtserialport,bus=ports.0,nr=2,chardev=data,name={DATA_PORT}"));
    add("chardev", format!("socket,id=share,fd={}", fds.share));
    add("device", format!("vhost-user-fs-pci,chardev=share,tag={SHARE_TAG},queue-size=1024"));
    if let (Some(tap), Some(mac)) = (fds.tap, config.mac) {
        let mac = mac.map(|byte| format!("{byte:02x}")).join(":");
        add("netdev", format!("tap,id=net,fd={tap}"));
        add("device", format!("virtio-net-pci,netdev=net,mac={mac},disable-legacy=on,romfile="));
    }
    for flag in ["-nodefaults", "-no-user-config", "-no-reboot"] {
        args.push(flag.into());
    }
    args.extend(["-display".into(), "none".into()]);
    args
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use cofferdam_pod_api::{GuestSetup, NamespaceMode};

    use super::*;

    pub(crate) fn config() -> BootConfig {
        BootConfig {
            vmm: "/usr/bin/qemu-system-x86_64".into(),
            file_server: "/usr/lib/qemu/virtiofsd".into(),
            kernel: "/image/k".into(),
            initramfs: "/image/i".into(),
            hardware: false,
            cpus: 2,
            memory: 256 << 20,
            uid: 2_000_000_001,
            share: "/state/pods/p/share".into(),
            mac: None,
            vmm_cgroup: "/pod/sandbox-vmm".into(),
            file_server_cgroup: "/pod/sandbox-fs".into(),
            setup: GuestSetup {
                id: "p".into(),
                hostname: "host".into(),
                pid: NamespaceMode::Container,
                sysctls: BTreeMap::new(),
                shm_size: 64 << 20,
                link: None,
                powered_on: 0,
                seed: vec![1; 64],
                init_seccomp: Vec::new(),
            },
        }
    }

    fn after<'a>(args: &'a [String], option: &str) -> Vec<&'a str> {
        args.windows(2).filter(|pair| pair[0] == option).map(|pair| pair[1].as_str()).collect()
    }

    const FDS: Numbers = Numbers { control: 5, data: 6, share: 7, tap: None };

    #[test]
    fn the_sandbox_denies_everything_and_there_is_no_monitor() {
        let args = arguments(&config(), FDS);
        assert_eq!(
            after(&args, "-sandbox"),
            ["on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"]
        );
        assert!(args.contains(&"-nodefaults".to_owned()));
        assert!(!args.iter().any(|arg| arg.contains("monitor") || arg.contains("qmp") || arg.contains("vnc")));
    }

    #[test]
    fn emulation_and_hardware_differ_in_accelerator_and_cpu() {
        let args = arguments(&config(), FDS);
        assert_eq!((after(&args, "-accel"), after(&args, "-cpu")), (vec!["tcg,thread=multi,tb-size=32"], vec!["max"]));
        let args = arguments(&BootConfig { hardware: true, ..config() }, FDS);
        assert_eq!((after(&args, "-accel"), after(&args, "-cpu")), (vec!["kvm"], vec!["host"]));
    }

    #[test]
    fn an_interface_is_there_only_with_a_tap_and_has_the_leases_address() {
        let args = arguments(&config(), FDS);
        assert!(after(&args, "-netdev").is_empty() && !args.iter().any(|arg| arg.contains("virtio-net")));
        let with = BootConfig { mac: Some([2, 0, 0, 0xab, 1, 0xff]), ..config() };
        let args = arguments(&with, Numbers { tap: Some(9), ..FDS });
        assert_eq!(after(&args, "-netdev"), ["tap,id=net,fd=9"]);
        assert!(after(&args, "-device").iter().any(|arg| arg.contains("mac=02:00:00:ab:01:ff")));
    }

    #[test]
    fn memory_is_shared_with_the_file_server_and_of_one_size() {
        let args = arguments(&config(), FDS);
        assert_eq!(after(&args, "-m"), ["256M"]);
        assert_eq!(after(&args, "-object"), ["memory-backend-memfd,id=ram,size=256M,share=on"]);
    }
}
