//! Users, capabilities, keyrings.

use std::io;

use crate::check;

/// The sets of capabilities of a process, one bit each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CapSets {
    /// Effective.
    pub effective: u64,
    /// Permitted.
    pub permitted: u64,
    /// Inheritable.
    pub inheritable: u64,
}

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

const VERSION_3: u32 = 0x2008_0522;

/// capget(2) of the caller.
///
/// # Errors
/// Those of capget(2).
pub fn capabilities() -> io::Result<CapSets> {
    let mut header = Header { version: VERSION_3, pid: 0 };
    let mut data = [0u32; 6];
    // SAFETY: version 3 reads the header and writes two structs of three 32-bit numbers.
    check(unsafe { libc::syscall(libc::SYS_capget, &raw mut header, data.as_mut_ptr()) })?;
    let join = |i: usize| u64::from(data[i]) | u64::from(data[i + 3]) << 32;
    Ok(CapSets { effective: join(0), permitted: join(1), inheritable: join(2) })
}

/// capset(2) of the caller.
///
/// # Errors
/// Those of capset(2).
pub fn set_capabilities(sets: CapSets) -> io::Result<()> {
    let mut header = Header { version: VERSION_3, pid: 0 };
    let (low, high) = (|v: u64| v as u32, |v: u64| (v >> 32) as u32);
    let data = [
        low(sets.effective),
        low(sets.permitted),
        low(sets.inheritable),
        high(sets.effective),
        high(sets.permitted),
        high(sets.inheritable),
    ];
    // SAFETY: version 3 reads the header and two structs of three 32-bit numbers.
    check(unsafe { libc::syscall(libc::SYS_capset, &raw mut header, data.as_ptr()) }).map(drop)
}

fn prctl(option: libc::c_int, a: libc::c_ulong, b: libc::c_ulong) -> io::Result<libc::c_long> {
    // SAFETY: the options used here take numbers only.
    check(unsafe { libc::syscall(libc::SYS_prctl, option, a, b, 0, 0) })
}

/// Drops from the bounding set what is not in `keep`; ends at the first number that the kernel does not know.
///
/// # Errors
/// Those of prctl(2).
pub fn limit_bounding(keep: u64) -> io::Result<()> {
    for cap in 0..64 {
        match prctl(libc::PR_CAPBSET_READ, cap, 0) {
            Ok(1) if keep & (1 << cap) == 0 => drop(prctl(libc::PR_CAPBSET_DROP, cap, 0)?),
            Ok(_) => {}
            Err(_) => break,
        }
    }
    Ok(())
}

/// Replaces the ambient set.
///
/// # Errors
/// Those of prctl(2).
pub fn set_ambient(set: u64) -> io::Result<()> {
    prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as libc::c_ulong, 0)?;
    for cap in (0..64).filter(|cap| set & (1 << cap) != 0) {
        prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE as libc::c_ulong, cap)?;
    }
    Ok(())
}

/// Whether capabilities survive the change of the user id.
///
/// # Errors
/// Those of prctl(2).
pub fn keep_capabilities(keep: bool) -> io::Result<()> {
    prctl(libc::PR_SET_KEEPCAPS, keep.into(), 0).map(drop)
}

/// no_new_privs, for good.
///
/// # Errors
/// Those of prctl(2).
pub fn no_new_privileges() -> io::Result<()> {
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0).map(drop)
}

/// The largest id of a user or group. The largest number means "no change" to the kernel, so that whoever is to become
/// it stays root; runtimes agree to end here.
pub const LARGEST_ID: u32 = i32::MAX as u32;

fn are_ids(numbers: &[u32]) -> io::Result<()> {
    match numbers.iter().find(|n| **n > LARGEST_ID) {
        Some(bad) => Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{bad} is no id"))),
        None => Ok(()),
    }
}

/// setgroups, setresgid, setresuid: in the order that each still may.
///
/// # Errors
/// Those of the calls, and a number above [`LARGEST_ID`], which changes nothing.
pub fn set_user(uid: u32, gid: u32, groups: &[u32]) -> io::Result<()> {
    are_ids(&[uid, gid])?;
    set_groups(groups)?;
    // SAFETY: takes numbers only; the raw call changes this thread, and there is no other.
    check(unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) })?;
    // SAFETY: as above.
    check(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) }).map(drop)
}

/// setgroups(2).
///
/// # Errors
/// Those of setgroups(2), and a number above [`LARGEST_ID`].
pub fn set_groups(groups: &[u32]) -> io::Result<()> {
    are_ids(groups)?;
    // SAFETY: the kernel reads that many 32-bit numbers.
    check(unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) }).map(drop)
}

/// Joins a new, anonymous session keyring: keys of the caller stay out of reach.
///
/// # Errors
/// Those of keyctl(2); ENOSYS where the kernel has no keyrings.
pub fn new_session_keyring() -> io::Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_int = 1;
    // SAFETY: a null name asks for an anonymous keyring.
    check(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, std::ptr::null::<u8>()) }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_becomes_a_number_that_the_kernel_takes_for_no_change() {
        for (uid, gid, groups) in [(u32::MAX, 0, [0]), (0, u32::MAX, [0]), (0, 0, [u32::MAX]), (1 << 31, 0, [0])] {
            // Without privileges the calls would fail with EPERM: the kind tells that none was made.
            assert_eq!(set_user(uid, gid, &groups).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{uid} {gid}");
        }
    }
}
