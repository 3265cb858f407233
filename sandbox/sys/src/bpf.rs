//! Device programs of cgroup v2: bpf(2).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::check;

const PROG_LOAD: libc::c_int = 5;
const PROG_ATTACH: libc::c_int = 8;
const PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const ATTACH_CGROUP_DEVICE: u32 = 6;
const ALLOW_MULTI: u32 = 2;

/// One instruction of eBPF.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Insn {
    /// Operation.
    pub code: u8,
    /// Destination in the low four bits, source in the high ones.
    pub regs: u8,
    /// Offset of a jump or of memory.
    pub off: i16,
    /// Immediate.
    pub imm: i32,
}

#[repr(C)]
#[derive(Default)]
struct Load {
    kind: u32,
    count: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    flags: u32,
    name: [u8; 16],
}

#[repr(C)]
struct Attach {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
    replace: u32,
    padding: [u32; 3],
}

/// Loads a program of the type CGROUP_DEVICE and attaches it to a cgroup; it lives as long as the cgroup.
///
/// # Errors
/// Those of bpf(2): EINVAL or EACCES when the verifier refuses it.
pub fn attach_device_program(cgroup: BorrowedFd<'_>, program: &[Insn]) -> io::Result<()> {
    let load = Load {
        kind: PROG_TYPE_CGROUP_DEVICE,
        count: program.len() as u32,
        insns: program.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        ..Load::default()
    };
    // SAFETY: the kernel reads the attributes, `count` instructions and a C string, all of which outlive the call.
    let fd = check(unsafe { libc::syscall(libc::SYS_bpf, PROG_LOAD, &raw const load, size_of::<Load>()) })?;
    // SAFETY: a new descriptor that nobody else owns.
    let fd = unsafe { OwnedFd::from_raw_fd(fd as i32) };
    let attach = Attach {
        target: cgroup.as_raw_fd() as u32,
        program: fd.as_raw_fd() as u32,
        kind: ATTACH_CGROUP_DEVICE,
        flags: ALLOW_MULTI,
        replace: 0,
        padding: [0; 3],
    };
    // SAFETY: the kernel reads the attributes.
    check(unsafe { libc::syscall(libc::SYS_bpf, PROG_ATTACH, &raw const attach, size_of::<Attach>()) }).map(drop)
}
