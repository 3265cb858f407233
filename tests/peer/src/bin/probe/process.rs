//! The process itself: identity, arguments, environment, privileges, limits.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileTypeExt as _;

use serde_json::{Value, json};

/// `/proc/self/status` as name and value.
fn status() -> BTreeMap<String, String> {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let split = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_owned(), value.split_whitespace().collect::<Vec<_>>().join(" ")))
    };
    text.lines().filter_map(split).collect()
}

pub fn describe() -> Value {
    let status = status();
    let mut found = json!({
        "argv": std::env::args().collect::<Vec<_>>().join(" "),
        "cwd": link("/proc/self/cwd"),
        "first of its namespace": std::process::id() == 1,
        "parent": std::os::unix::process::parent_id() == 0,
        "session leader": rustix::process::getsid(None).ok() == Some(rustix::process::getpid()),
        "group leader": rustix::process::getpgid(None).ok() == Some(rustix::process::getpid()),
        "hostname": read("/proc/sys/kernel/hostname"),
        "domainname": read("/proc/sys/kernel/domainname"),
        "oom_score_adj": read("/proc/self/oom_score_adj"),
        "uid_map": read("/proc/self/uid_map"),
        "gid_map": read("/proc/self/gid_map"),
        "setgroups": read("/proc/self/setgroups"),
        "personality": read("/proc/self/personality"),
        "coredump_filter": read("/proc/self/coredump_filter"),
        "cgroups": cgroups(),
        "descriptors": descriptors(),
    });
    let fields = ["Uid", "Gid", "Groups", "Umask", "NoNewPrivs", "Seccomp", "Seccomp_filters", "SigBlk"];
    for field in fields {
        found[field] = json!(status.get(field));
    }
    found["SigIgn"] = json!(status.get("SigIgn").map(|mask| without_libc_signals(mask)));
    found["Cpus_allowed_list"] = json!(status.get("Cpus_allowed_list"));
    found
}

/// A mask of signals without 32 and 33: the C library keeps them for itself, and whether a runtime hands them on
/// ignored depends on who started it.
fn without_libc_signals(mask: &str) -> String {
    let mask = u64::from_str_radix(mask, 16).unwrap_or_default();
    format!("{:016x}", mask & !(0b11 << 31))
}

/// Values by name, and the order of the names as the process got them.
pub fn environment() -> Value {
    let text = fs::read("/proc/self/environ").unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let entries: Vec<&str> = text.split_terminator('\0').collect();
    let mut values = serde_json::Map::new();
    let mut order = Vec::new();
    for entry in entries {
        let (name, value) = entry.split_once('=').unwrap_or((entry, "(no value)"));
        order.push(name);
        let before = values.get(name).and_then(Value::as_str).map(|before| format!("{before} and "));
        values.insert(name.to_owned(), json!(before.unwrap_or_default() + value));
    }
    json!({"values": values, "order": order.join(" ")})
}

/// The five sets, each as the numbers of the capabilities in it.
pub fn capabilities() -> Value {
    let status = status();
    let mut sets = json!({});
    for name in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        let mask = status.get(name).and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or_default();
        let members: Vec<String> = (0..64).filter(|bit| mask >> bit & 1 == 1).map(|bit| bit.to_string()).collect();
        sets[name] = json!(members.join(" "));
    }
    sets
}

/// Soft and hard limits by their names in `/proc/self/limits`.
pub fn limits() -> Value {
    let text = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let mut limits = json!({});
    for line in text.lines().skip(1) {
        let Some((name, rest)) = line.split_at_checked(26) else { continue };
        let values: Vec<&str> = rest.split_whitespace().take(2).collect();
        limits[name.trim()] = json!(values.join(" "));
    }
    limits
}

/// The cgroups as the process sees them, by hierarchy.
fn cgroups() -> Value {
    let mut found = json!({});
    for line in read("/proc/self/cgroup").lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        if let (Some(controllers), Some(path)) = (fields.next(), fields.next()) {
            found[if controllers.is_empty() { "unified" } else { controllers }] = json!(path);
        }
    }
    found
}

fn descriptors() -> Value {
    let mut found = json!({});
    for entry in fs::read_dir("/proc/self/fd").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let target = fs::read_link(entry.path()).map(|path| path.display().to_string()).unwrap_or_default();
        if target.starts_with("/proc/") {
            continue;
        }
        let kind = fs::metadata(entry.path()).map(|meta| meta.file_type());
        let what = match kind {
            Ok(kind) if kind.is_fifo() => "pipe".to_owned(),
            Ok(kind) if kind.is_socket() => "socket".to_owned(),
            _ => target,
        };
        found[name] = json!(what);
    }
    found
}

/// A file without the blanks at its end, or why it cannot be read.
pub fn read(path: &str) -> String {
    match fs::read_to_string(path) {
        Ok(text) => text.trim_end().to_owned(),
        Err(error) => format!("({})", cause(&error)),
    }
}

/// Where a link leads.
pub fn link(path: &str) -> String {
    fs::read_link(path).map_or_else(|error| format!("({})", cause(&error)), |path| path.display().to_string())
}

/// An error as its number: the words for it depend on nothing that matters here.
pub fn cause(error: &std::io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.kind().to_string(), |number| format!("error {number}"))
}

pub fn end_by(name: &str) {
    use rustix::process::{Signal, getpid, kill_process};
    let signal = match name {
        "kill" => Signal::KILL,
        "segv" => Signal::SEGV,
        _ => std::process::abort(),
    };
    // PID 1 of a namespace cannot end itself by a signal: a child does, and its end becomes this process's.
    let _ = kill_process(getpid(), signal);
    std::process::exit(96);
}

/// Touches what it takes, so that a limit is met.
pub fn eat() {
    let mut all: Vec<Vec<u8>> = Vec::new();
    loop {
        all.push(vec![1; 1 << 20]);
        std::hint::black_box(&all);
    }
}
