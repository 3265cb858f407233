//! Children and namespaces: clone3, setns, unshare, execve.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::check;

pub use libc::{
    CLONE_NEWCGROUP, CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUSER, CLONE_NEWUTS, CLONE_PARENT,
};

const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// A new process.
#[derive(Debug)]
pub struct Spawned {
    /// Its number in the caller's PID namespace.
    pub pid: i32,
    /// Its pidfd, close-on-exec.
    pub pidfd: OwnedFd,
}

#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// Forks with clone3(CLONE_PIDFD | flags), into a v2 cgroup if one is given; the child ends with what the closure
/// answers.
///
/// The caller must be single-threaded: a lock held by another thread would stay locked in the child.
///
/// # Errors
/// Those of clone3(2); EDEADLK when the process has threads.
pub fn spawn(flags: libc::c_int, cgroup: Option<BorrowedFd<'_>>, child: impl FnOnce() -> i32) -> io::Result<Spawned> {
    if flags & CLONE_PARENT == 0 && threads() > 1 {
        return Err(io::Error::from_raw_os_error(libc::EDEADLK));
    }
    let mut pidfd: libc::c_int = -1;
    let mut args = CloneArgs {
        flags: flags as u64 | libc::CLONE_PIDFD as u64,
        pidfd: (&raw mut pidfd) as u64,
        // The kernel wants none with CLONE_PARENT: the child signals as its sibling does.
        exit_signal: if flags & CLONE_PARENT == 0 { libc::SIGCHLD as u64 } else { 0 },
        ..CloneArgs::default()
    };
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    // SAFETY: no CLONE_VM and no stack: this is a fork, memory is copied; args and pidfd outlive the call.
    let pid = check(unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<CloneArgs>()) })?;
    if pid == 0 {
        let code = catch_unwind(AssertUnwindSafe(child)).unwrap_or(125);
        // SAFETY: ends this process without running the parent's destructors.
        unsafe { libc::_exit(code) };
    }
    // SAFETY: the kernel has stored a new descriptor that nobody else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Spawned { pid: pid as i32, pidfd })
}

/// Forks a child of this process's parent by clone(2): what a seccomp program allows that answers ENOSYS to clone3. The
/// child ends with what the closure answers.
///
/// # Errors
/// Those of clone(2).
pub fn spawn_sibling(child: impl FnOnce() -> i32) -> io::Result<Spawned> {
    let mut pidfd: libc::c_int = -1;
    let flags = CLONE_PARENT | libc::CLONE_PIDFD;
    // SAFETY: no CLONE_VM and no stack: this is a fork, memory is copied; the kernel stores the pidfd, which outlives
    // the call. The last two arguments, whose order differs between machines, are both null.
    let pid = check(unsafe { libc::syscall(libc::SYS_clone, libc::c_long::from(flags), 0, &raw mut pidfd, 0, 0) })?;
    if pid == 0 {
        let code = catch_unwind(AssertUnwindSafe(child)).unwrap_or(125);
        // SAFETY: ends this process without running the parent's destructors.
        unsafe { libc::_exit(code) };
    }
    // SAFETY: the kernel has stored a new descriptor that nobody else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Spawned { pid: pid as i32, pidfd })
}

/// Number of threads of this process: its task directory has one link each, and two of its own.
fn threads() -> u64 {
    rustix::fs::stat("/proc/self/task").map_or(1, |s| s.st_nlink.saturating_sub(2))
}

/// setns(2): joins the namespaces of a pidfd (flags say which), or one namespace (flags 0 or its kind).
///
/// # Errors
/// Those of setns(2).
pub fn setns(fd: BorrowedFd<'_>, flags: libc::c_int) -> io::Result<()> {
    // SAFETY: takes numbers only; the caller is single-threaded.
    check(unsafe { libc::syscall(libc::SYS_setns, fd.as_raw_fd(), flags) }).map(drop)
}

/// unshare(2).
///
/// # Errors
/// Those of unshare(2).
pub fn unshare(flags: libc::c_int) -> io::Result<()> {
    // SAFETY: takes numbers only; the flags of this module leave memory and descriptors alone.
    check(unsafe { libc::syscall(libc::SYS_unshare, flags) }).map(drop)
}

/// execve(2); returns only with its error.
pub fn execve(path: &CString, args: &[CString], env: &[CString]) -> io::Error {
    let pointers = |list: &[CString]| list.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect::<Vec<_>>();
    let (args, env) = (pointers(args), pointers(env));
    // SAFETY: both arrays end with null, and their strings live until the call returns.
    unsafe { libc::execve(path.as_ptr(), args.as_ptr(), env.as_ptr()) };
    io::Error::last_os_error()
}

/// prctl(PR_SET_DUMPABLE): a process that is not dumpable cannot be traced, nor its /proc/PID/{exe,fd,mem} be opened.
///
/// # Errors
/// Those of prctl(2).
pub fn set_dumpable(dumpable: bool) -> io::Result<()> {
    // SAFETY: takes numbers only.
    check(unsafe { libc::syscall(libc::SYS_prctl, libc::PR_SET_DUMPABLE, libc::c_ulong::from(dumpable), 0, 0, 0) })
        .map(drop)
}

/// close_range(first, all, CLOSE_RANGE_CLOEXEC).
///
/// # Errors
/// Those of close_range(2).
pub fn cloexec_from(first: u32) -> io::Result<()> {
    // SAFETY: only marks descriptors as close-on-exec.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 4u32) }).map(drop)
}

/// Closes every descriptor in a range, in a process that owns none of them: not yet, or not any more.
///
/// # Errors
/// Those of close_range(2).
pub fn close_all(first: u32, last: u32) -> io::Result<()> {
    // SAFETY: the caller is a process that has just begun and owns nothing there yet, or a child that is about to wait
    // for ever or to end and uses no descriptor afterwards.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0u32) }).map(drop)
}

/// dup2 onto 0, 1 or 2.
///
/// # Errors
/// Those of dup3(2).
pub fn dup_to(from: BorrowedFd<'_>, to: i32) -> io::Result<()> {
    if from.as_raw_fd() == to {
        // SAFETY: clears close-on-exec of an open descriptor.
        return check(libc::c_long::from(unsafe { libc::fcntl(to, libc::F_SETFD, 0) })).map(drop);
    }
    // SAFETY: the standard descriptors of a forked child are its own to replace.
    check(unsafe { libc::syscall(libc::SYS_dup3, from.as_raw_fd(), to, 0) }).map(drop)
}

/// setrlimit(2) by the kernel's number of the resource.
///
/// # Errors
/// Those of prlimit(2).
pub fn set_rlimit(resource: u32, soft: u64, hard: u64) -> io::Result<()> {
    let limit = [soft, hard];
    // SAFETY: the kernel reads two 64-bit numbers and writes nothing.
    check(unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource, limit.as_ptr(), std::ptr::null_mut::<u64>()) })
        .map(drop)
}

/// Makes the caller's session own the terminal.
///
/// # Errors
/// Those of ioctl(2).
pub fn set_controlling_terminal(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: TIOCSCTTY takes a number.
    check(unsafe { libc::syscall(libc::SYS_ioctl, fd.as_raw_fd(), libc::TIOCSCTTY, 0) }).map(drop)
}

/// The slave of a pty master, opened without a path (TIOCGPTPEER), close-on-exec and not as controlling terminal.
///
/// # Errors
/// Those of ioctl(2).
pub fn pty_peer(master: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: TIOCGPTPEER takes flags and answers a new descriptor.
    let fd = check(unsafe { libc::syscall(libc::SYS_ioctl, master.as_raw_fd(), libc::TIOCGPTPEER, flags) })?;
    // SAFETY: that descriptor is owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}
