//! Taking privileges away, for good.

use std::io;

use cofferdam_sys::{cred, seccomp};

/// What the shim of a booted VM still does: its event loop over descriptors that are open, memory, time, the end of
/// processes. It opens, makes and executes nothing.
#[rustfmt::skip]
const CALLS: [libc::c_long; 71] = [
    // Descriptors.
    libc::SYS_read, libc::SYS_write, libc::SYS_readv, libc::SYS_writev, libc::SYS_pread64, libc::SYS_pwrite64,
    libc::SYS_close, libc::SYS_close_range, libc::SYS_dup, libc::SYS_dup3, libc::SYS_fcntl, libc::SYS_fstat,
    libc::SYS_statx, libc::SYS_newfstatat, libc::SYS_lseek, libc::SYS_ftruncate, libc::SYS_fallocate, libc::SYS_fsync,
    libc::SYS_fdatasync, libc::SYS_pipe2, libc::SYS_eventfd2,
    // Connections that are there, and new ones of the daemon.
    libc::SYS_accept4, libc::SYS_sendto, libc::SYS_recvfrom, libc::SYS_sendmsg, libc::SYS_recvmsg, libc::SYS_shutdown,
    libc::SYS_getsockopt, libc::SYS_setsockopt, libc::SYS_getsockname, libc::SYS_getpeername, libc::SYS_socketpair,
    // Waiting.
    libc::SYS_epoll_ctl, libc::SYS_epoll_pwait, libc::SYS_epoll_pwait2, libc::SYS_epoll_create1, libc::SYS_ppoll,
    libc::SYS_pselect6, libc::SYS_signalfd4, libc::SYS_timerfd_create, libc::SYS_timerfd_settime,
    libc::SYS_clock_gettime, libc::SYS_clock_nanosleep, libc::SYS_nanosleep, libc::SYS_gettimeofday, libc::SYS_futex,
    libc::SYS_restart_syscall, libc::SYS_sched_yield,
    // Processes: the machine's end, and its own.
    libc::SYS_waitid, libc::SYS_wait4, libc::SYS_pidfd_send_signal, libc::SYS_kill, libc::SYS_tgkill, libc::SYS_tkill,
    libc::SYS_getpid, libc::SYS_gettid, libc::SYS_getuid, libc::SYS_geteuid, libc::SYS_exit, libc::SYS_exit_group,
    libc::SYS_rt_sigaction, libc::SYS_rt_sigprocmask, libc::SYS_rt_sigreturn, libc::SYS_sigaltstack,
    // Memory; HashMap's keys.
    libc::SYS_brk, libc::SYS_mmap, libc::SYS_munmap, libc::SYS_mremap, libc::SYS_mprotect, libc::SYS_madvise,
    libc::SYS_getrandom,
];

/// Of older calls that only x86-64 has.
#[cfg(target_arch = "x86_64")]
const MORE: [libc::c_long; 3] = [libc::SYS_poll, libc::SYS_epoll_wait, libc::SYS_dup2];
#[cfg(not(target_arch = "x86_64"))]
const MORE: [libc::c_long; 0] = [];

/// Takes away every system call that the shim of a VM has no more use for: it parses what a hostile guest sends. Last
/// of all.
pub(crate) fn confine() -> io::Result<()> {
    let program = seccomp::allow_only(&[&CALLS[..], &MORE].concat()).ok_or(io::ErrorKind::InvalidInput)?;
    seccomp::load(&program)
}

/// Becomes a user without any capability, who will never have one.
pub(crate) fn drop_all(uid: u32) -> io::Result<()> {
    cred::no_new_privileges()?;
    cred::set_ambient(0)?;
    cred::limit_bounding(0)?;
    cred::set_user(uid, uid, &[])?;
    cred::set_capabilities(cred::CapSets::default())?;
    cofferdam_sys::process::set_dumpable(false)
}

/// Of a file server; those that virtiofsd asks for, and what it needs to give up the rest.
const FILE_SERVER: [u32; 10] = [
    0,  // CHOWN
    1,  // DAC_OVERRIDE
    3,  // FOWNER
    4,  // FSETID
    6,  // SETGID
    7,  // SETUID
    8,  // SETPCAP
    18, // SYS_CHROOT
    27, // MKNOD
    31, // SETFCAP
];

/// Keeps what a file server needs, in the caller's user namespace.
pub(crate) fn keep_file_server() -> io::Result<()> {
    let keep = FILE_SERVER.iter().fold(0u64, |set, cap| set | 1 << cap);
    cred::no_new_privileges()?;
    cred::set_ambient(0)?;
    cred::limit_bounding(keep)?;
    cred::set_groups(&[])?;
    cred::set_capabilities(cred::CapSets { effective: keep, permitted: keep, inheritable: 0 })
}
