//! System calls that need `unsafe`, as thin safe functions; what rustix gives safely is not repeated here.
//!
//! All of it is meant for single-threaded processes: the shim and the agent.
#![allow(unsafe_code)]

pub mod bpf;
pub mod cred;
pub mod fd;
pub mod mount;
pub mod process;
pub mod seccomp;
pub mod signal;
pub mod system;
pub mod tap;

use std::io;

/// -1 to the error of errno.
fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
