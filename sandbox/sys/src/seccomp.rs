//! Loading of compiled seccomp programs.

use std::io;

use crate::check;

/// Loads a program (`struct sock_filter` array, native endian) for the caller. It needs no_new_privs or CAP_SYS_ADMIN.
///
/// # Errors
/// EINVAL for a program of a wrong size; those of seccomp(2).
pub fn load(program: &[u8]) -> io::Result<()> {
    const SIZE: usize = size_of::<libc::sock_filter>();
    let count = program.len() / SIZE;
    if program.is_empty() || !program.len().is_multiple_of(SIZE) || count > usize::from(u16::MAX) {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let filters: Vec<libc::sock_filter> = program
        .chunks_exact(SIZE)
        .map(|c| libc::sock_filter {
            code: u16::from_ne_bytes([c[0], c[1]]),
            jt: c[2],
            jf: c[3],
            k: u32::from_ne_bytes([c[4], c[5], c[6], c[7]]),
        })
        .collect();
    let mut filters = filters;
    let program = libc::sock_fprog { len: count as u16, filter: filters.as_mut_ptr() };
    // SAFETY: the kernel copies `len` filters from the array, which outlives the call.
    check(unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) }).map(drop)
}
