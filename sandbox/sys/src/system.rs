//! What only the first process of a machine does: modules, clock, entropy, the end.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use crate::check;

/// finit_module(2), without parameters. A module that is there already is fine.
///
/// # Errors
/// Those of finit_module(2).
pub fn load_module(module: BorrowedFd<'_>) -> io::Result<()> {
    const NONE: &CStr = c"";
    // SAFETY: the parameters are an empty C string; the kernel reads the module from the descriptor.
    match check(unsafe { libc::syscall(libc::SYS_finit_module, module.as_raw_fd(), NONE.as_ptr(), 0) }) {
        Err(error) if error.raw_os_error() != Some(libc::EEXIST) => Err(error),
        _ => Ok(()),
    }
}

/// Sets the clock to a time since the epoch.
///
/// # Errors
/// Those of clock_settime(2).
pub fn set_clock(since_epoch: Duration) -> io::Result<()> {
    let seconds = since_epoch.as_secs().try_into().map_err(|_| io::ErrorKind::InvalidInput)?;
    let time = libc::timespec { tv_sec: seconds, tv_nsec: libc::c_long::from(since_epoch.subsec_nanos()) };
    // SAFETY: the kernel reads one timespec.
    check(libc::c_long::from(unsafe { libc::clock_settime(libc::CLOCK_REALTIME, &raw const time) })).map(drop)
}

/// Time since the machine was started, sleep included.
pub fn uptime() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec; this clock always exists.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) };
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Most bytes of [`credit_entropy`].
pub const MAX_SEED: usize = 512;

/// Gives secret random bytes to the kernel's generator and counts them as full entropy.
///
/// # Errors
/// EINVAL for more than [`MAX_SEED`] bytes; those of ioctl(2).
pub fn credit_entropy(random: BorrowedFd<'_>, seed: &[u8]) -> io::Result<()> {
    #[repr(C)]
    struct Pool {
        bits: libc::c_int,
        bytes: libc::c_int,
        data: [u8; MAX_SEED],
    }
    // _IOW('R', 3, int[2])
    const RNDADDENTROPY: libc::c_ulong = 0x4008_5203;
    if seed.len() > MAX_SEED {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut pool = Pool { bits: seed.len() as libc::c_int * 8, bytes: seed.len() as libc::c_int, data: [0; MAX_SEED] };
    pool.data[..seed.len()].copy_from_slice(seed);
    // SAFETY: the kernel reads two numbers and as many bytes as the second says, all inside the struct.
    let done = check(unsafe { libc::syscall(libc::SYS_ioctl, random.as_raw_fd(), RNDADDENTROPY, &raw const pool) });
    done.map(drop)
}

/// Turns the machine off at once; returns only with an error. The caller has synced.
///
/// # Errors
/// Those of reboot(2).
pub fn power_off() -> io::Error {
    // SAFETY: takes numbers only.
    unsafe { libc::reboot(libc::RB_POWER_OFF) };
    io::Error::last_os_error()
}
