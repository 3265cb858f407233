//! Loading of compiled seccomp programs, and a plain one: a list of calls.

use std::io;

use crate::check;

/// What `struct seccomp_data` says of the native architecture.
const ARCH: u32 = if cfg!(target_arch = "x86_64") { 0xc000_003e } else { 0xc000_00b7 };

/// A program that allows these calls of the native architecture, at most 200, answers EPERM to all others, and ends a
/// process that calls by another architecture. `None`: too many, or a negative number.
pub fn allow_only(calls: &[libc::c_long]) -> Option<Vec<u8>> {
    const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
    const REFUSE: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
    let insn =
        |code: u32, jt: u8, jf: u8, k: u32| [&(code as u16).to_ne_bytes()[..], &[jt, jf], &k.to_ne_bytes()].concat();
    let load = |offset| insn(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, offset);
    let equal = |jt, jf, k| insn(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, jt, jf, k);
    let answer = |value| insn(libc::BPF_RET | libc::BPF_K, 0, 0, value);
    let count = u8::try_from(calls.len()).ok().filter(|count| *count <= 200)?;
    let mut program = [load(4), equal(1, 0, ARCH), answer(libc::SECCOMP_RET_KILL_PROCESS), load(0)].concat();
    for (index, call) in (0..count).zip(calls) {
        // Over the rest of the list and the refusal.
        program.extend(equal(count - index, 0, u32::try_from(*call).ok()?));
    }
    program.extend([answer(REFUSE), answer(ALLOW)].concat());
    Some(program)
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_allows_what_it_names_and_refuses_the_rest() {
        let calls = [libc::SYS_read, libc::SYS_write, libc::SYS_exit_group, libc::SYS_kill];
        let program = allow_only(&calls).unwrap();
        let insn = |at: usize| -> [u8; 8] { program[at * 8..at * 8 + 8].try_into().unwrap() };
        let value = |at: usize| u32::from_ne_bytes(insn(at)[4..].try_into().unwrap());
        for (index, call) in calls.iter().enumerate() {
            let at = 4 + index;
            assert_eq!(i64::from(value(at)), *call);
            assert_eq!(value(at + 1 + usize::from(insn(at)[2])), libc::SECCOMP_RET_ALLOW);
            assert_eq!(insn(at)[3], 0);
        }
        assert_eq!(value(4 + calls.len()), libc::SECCOMP_RET_ERRNO | 1);
        assert!(allow_only(&[libc::SYS_read; 201]).is_none() && allow_only(&[-1]).is_none());
    }
}
