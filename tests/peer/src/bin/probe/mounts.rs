//! Mounts, device files, and places whose modes and owners matter.

use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};

use serde_json::{Value, json};

use crate::process::{cause, link};

/// Each mount by its mount point, and the order of the mount points. A point mounted twice has `#2` behind its name.
pub fn describe() -> Value {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut order: Vec<String> = Vec::new();
    let mut mounts = json!({});
    for line in text.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let (left, right): (Vec<&str>, Vec<&str>) = (left.split(' ').collect(), right.split(' ').collect());
        let (Some(root), Some(point), Some(options)) = (left.get(3), left.get(4), left.get(5)) else { continue };
        let same = order.iter().filter(|name| name.split('#').next() == Some(point)).count();
        let name = if same == 0 { (*point).to_owned() } else { format!("{point}#{}", same + 1) };
        mounts[&name] = json!({
            "root": root,
            "options": options,
            "propagation": propagation(&left[6..]),
            "type": right.first(),
            "source": right.get(1),
            "superblock": right.get(2).map(|options| without_layers(options)),
            "point": stat(point),
        });
        order.push(name);
    }
    json!({"order": order.join(" "), "each": mounts})
}

/// An overlay's options without the directories, which no container can make use of.
fn without_layers(options: &str) -> String {
    let dirs = ["lowerdir", "upperdir", "workdir"];
    let of = |option: &str| match option.split_once('=') {
        Some((name, _)) if dirs.iter().any(|dir| name.starts_with(dir)) => format!("{name}=..."),
        _ => option.to_owned(),
    };
    options.split(',').map(of).collect::<Vec<_>>().join(",")
}

/// Without the numbers of the peer groups.
fn propagation(fields: &[&str]) -> String {
    let kinds: Vec<&str> = fields.iter().filter_map(|field| field.split(':').next()).collect();
    if kinds.is_empty() { "private".to_owned() } else { kinds.join(" ") }
}

/// Everything directly in `/dev`.
pub fn devices() -> Value {
    let mut found = json!({});
    for entry in fs::read_dir("/dev").into_iter().flatten().flatten() {
        let path = entry.path().display().to_string();
        found[entry.file_name().to_string_lossy().as_ref()] = json!(stat(&path));
    }
    found
}

/// Directories and files that images and runtimes make in different ways.
pub fn places() -> Value {
    let names = [
        "/",
        "/proc",
        "/sys",
        "/sys/fs/cgroup",
        "/dev/shm",
        "/dev/mqueue",
        "/dev/pts",
        "/dev/pts/0",
        "/etc",
        "/etc/hosts",
        "/etc/hostname",
        "/etc/resolv.conf",
        "/etc/mtab",
        "/tmp",
        "/run",
        "/run/secrets",
        "/dev/termination-log",
        "/root",
        "/home",
        "/work",
        "/data",
        "/new",
        "/new/deep",
        "/.dockerenv",
        "/run/.containerenv",
        "/proc/self/root",
        ".",
    ];
    names.iter().map(|name| ((*name).to_owned(), json!(stat(name)))).collect::<serde_json::Map<_, _>>().into()
}

/// Kind, device number, mode and owner, or why there is none.
fn stat(path: &str) -> String {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_symlink() => format!("link to {}", link(path)),
        Ok(meta) => format!("{} {:04o} {}:{}", kind(&meta), meta.mode() & 0o7777, meta.uid(), meta.gid()),
        Err(error) => format!("({})", cause(&error)),
    }
}

/// The kind of a file, with the number of a device.
pub fn kind(meta: &Metadata) -> String {
    let kind = meta.file_type();
    let number = || format!("{}:{}", rustix::fs::major(meta.rdev()), rustix::fs::minor(meta.rdev()));
    match () {
        () if kind.is_dir() => "dir".to_owned(),
        () if kind.is_symlink() => "link".to_owned(),
        () if kind.is_char_device() => format!("char {}", number()),
        () if kind.is_block_device() => format!("block {}", number()),
        () if kind.is_fifo() => "fifo".to_owned(),
        () if kind.is_socket() => "socket".to_owned(),
        () => "file".to_owned(),
    }
}

/// What runtimes hide or make read-only below `/proc` and `/sys`: what it is, how much can be read, whether it opens
/// for writing.
pub fn masked() -> Value {
    let names = [
        "/proc/acpi",
        "/proc/asound",
        "/proc/bus",
        "/proc/fs",
        "/proc/interrupts",
        "/proc/irq",
        "/proc/kallsyms",
        "/proc/kcore",
        "/proc/key-users",
        "/proc/keys",
        "/proc/kmsg",
        "/proc/latency_stats",
        "/proc/sched_debug",
        "/proc/scsi",
        "/proc/sys",
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/vm/panic_on_oom",
        "/proc/sysrq-trigger",
        "/proc/timer_list",
        "/proc/timer_stats",
        "/proc/self/mem",
        "/sys/block",
        "/sys/class",
        "/sys/dev/block",
        "/sys/devices/virtual/powercap",
        "/sys/firmware",
        "/sys/fs",
        "/sys/fs/selinux",
        "/sys/kernel",
        "/sys/kernel/debug",
        "/sys/kernel/security",
        "/sys/kernel/mm",
        "/sys/module",
        "/sys/devices/system/cpu",
        "/sys/devices/system/cpu/cpu0/thermal_throttle",
    ];
    names.iter().map(|name| ((*name).to_owned(), json!(look(name)))).collect::<serde_json::Map<_, _>>().into()
}

fn look(path: &str) -> String {
    let Ok(meta) = fs::symlink_metadata(path) else { return stat(path) };
    let inside = if meta.is_dir() {
        let entries = fs::read_dir(path).map(|entries| entries.count());
        entries.map_or_else(|error| cause(&error), |n| if n == 0 { "empty".into() } else { "entries".into() })
    } else if path.ends_with("kmsg") || path.ends_with("mem") {
        // Reading would wait, or take the host's messages away.
        fs::File::open(path).map_or_else(|error| cause(&error), |_| "opens".into())
    } else {
        let mut first = [0; 1];
        let read = fs::File::open(path).and_then(|mut file| std::io::Read::read(&mut file, &mut first));
        read.map_or_else(|error| cause(&error), |n| if n == 0 { "empty".into() } else { "content".into() })
    };
    let write = if meta.is_dir() {
        String::new()
    } else {
        let opened = fs::OpenOptions::new().write(true).open(path);
        format!(", for writing {}", opened.map_or_else(|error| cause(&error), |_| "opens".into()))
    };
    format!("{}: {inside}{write}", stat(path))
}
