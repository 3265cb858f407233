//! What the kernel answers: system calls by number, sysctls, and attempts at what is often forbidden.

use std::fs;
use std::process::Command;

use rustix::fs::{CWD, FileType, Mode};
use serde_json::{Value, json};

use crate::process::{cause, read};

/// The answer to every system call number, from the program beside this one.
pub fn syscalls() -> Value {
    let output = match Command::new("/peer/syscalls").output() {
        Ok(output) => output,
        Err(error) => return json!(cause(&error)),
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let split = |line: &str| line.split_once(' ').map(|(number, answer)| (number.to_owned(), json!(answer)));
    text.lines().filter_map(split).collect::<serde_json::Map<_, _>>().into()
}

pub fn sysctls() -> Value {
    let names = [
        "kernel/domainname",
        "kernel/msgmax",
        "kernel/msgmnb",
        "kernel/msgmni",
        "kernel/sem",
        "kernel/shmall",
        "kernel/shmmax",
        "kernel/shmmni",
        "kernel/shm_rmid_forced",
        "kernel/ngroups_max",
        "fs/mqueue/msg_max",
        "fs/mqueue/queues_max",
        "net/core/somaxconn",
        "net/ipv4/ip_forward",
        "net/ipv4/ip_local_port_range",
        "net/ipv4/ip_unprivileged_port_start",
        "net/ipv4/ping_group_range",
        "net/ipv4/tcp_syncookies",
        "net/ipv4/tcp_keepalive_time",
        "net/ipv4/conf/all/rp_filter",
        "net/ipv4/conf/default/rp_filter",
        "net/ipv4/conf/eth0/rp_filter",
        "net/ipv4/conf/eth0/arp_notify",
        "net/ipv6/conf/all/disable_ipv6",
        "net/ipv6/conf/default/disable_ipv6",
        "net/ipv6/conf/eth0/accept_dad",
        "net/ipv6/conf/eth0/accept_ra",
        "net/ipv6/conf/all/forwarding",
        "user/max_user_namespaces",
    ];
    names
        .iter()
        .map(|name| ((*name).to_owned(), json!(read(&format!("/proc/sys/{name}")))))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// Files that a runtime writes for the pod.
pub fn files() -> Value {
    let names = ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/etc/mtab"];
    names.iter().map(|name| ((*name).to_owned(), json!(read(name)))).collect::<serde_json::Map<_, _>>().into()
}

/// Whether what needs a privilege or a writable file system works. Whatever is made is removed.
pub fn attempts() -> Value {
    let made = |path: &str| {
        let result = fs::write(path, "x").map_or_else(|error| cause(&error), |()| "ok".to_owned());
        let _ = fs::remove_file(path);
        result
    };
    let device = || {
        let path = "/dev/shm/peer-null";
        let mode = Mode::from_raw_mode(0o666);
        let made = rustix::fs::mknodat(CWD, path, FileType::CharacterDevice, mode, rustix::fs::makedev(1, 3));
        let result = made.map_or_else(|error| format!("error {}", error.raw_os_error()), |()| "ok".to_owned());
        let _ = fs::remove_file(path);
        result
    };
    let opens = |path: &str| fs::File::open(path).map_or_else(|error| cause(&error), |_| "ok".to_owned());
    json!({
        "write /": made("/peer-new"),
        "write /dev": made("/dev/peer-new"),
        "write /dev/shm": made("/dev/shm/peer-new"),
        "write /sys/fs/cgroup": fs::create_dir("/sys/fs/cgroup/peer-new").map_or_else(|e| cause(&e), |()| {
            let _ = fs::remove_dir("/sys/fs/cgroup/peer-new");
            "ok".to_owned()
        }),
        "make a device": device(),
        "open /dev/full": opens("/dev/full"),
        "open /dev/tty": opens("/dev/tty"),
        "open /dev/ptmx": opens("/dev/ptmx"),
        "open /dev/mem": opens("/dev/mem"),
        "listen on port 80": std::net::TcpListener::bind("127.0.0.1:80").map_or_else(|e| cause(&e), |_| "ok".to_owned()),
        "listen on [::1]": std::net::TcpListener::bind("[::1]:0").map_or_else(|e| cause(&e), |_| "ok".to_owned()),
    })
}
