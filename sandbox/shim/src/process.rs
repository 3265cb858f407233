//! What makes the shim a process of its own, independent of the daemon and out of reach of its containers.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;

use cofferdam_sys::{process, signal};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{getpid, set_child_subreaper, set_parent_process_death_signal, setsid, umask};
use rustix::stdio::{dup2_stdin, dup2_stdout, stdin, stdout};

/// First descriptor that no standard stream has.
const FIRST: i32 = 3;

/// The listening socket and the configuration's bytes. Both leave the standard descriptors, where a child might inherit
/// them. Nothing else that the daemon or its starter left open stays so: it would outlive both in every shim.
pub fn take_descriptors() -> io::Result<(OwnedFd, Vec<u8>)> {
    process::close_all(FIRST as u32, u32::MAX)?;
    let listener = fcntl_dupfd_cloexec(stdin(), FIRST)?;
    let mut config = Vec::new();
    File::from(fcntl_dupfd_cloexec(stdout(), FIRST)?).read_to_end(&mut config)?;
    let null = openat(CWD, "/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    Ok((listener, config))
}

/// Cuts every tie to the process that started it.
pub fn detach() -> io::Result<()> {
    // Its orphans come to it and are reaped, instead of waiting for the node's init.
    set_child_subreaper(Some(getpid()))?;
    set_parent_process_death_signal(None)?;
    // A container with SYS_PTRACE that shares the node's PID namespace finds nothing to open.
    process::set_dumpable(false)?;
    // Executed by a descriptor's number, which is all that its name would be.
    rustix::thread::set_name(c"cofferdam-shim")?;
    // A leader already, where a test has started it by hand.
    if let Err(error) = setsid()
        && error != rustix::io::Errno::PERM
    {
        return Err(error.into());
    }
    // Whatever the daemon was started with: an ignored SIGCHLD would cost every exit code.
    signal::reset();
    signal::ignore_broken_pipes();
    // The cgroups that it makes are read from inside, by any user; its files have modes of their own.
    umask(Mode::WGRP | Mode::WOTH);
    Ok(())
}
