//! Tap devices: the one kind of link that netlink cannot make.

use std::ffi::c_short;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

/// Opens the tap of this name in the network namespace of the calling thread, making it if it is not there; down,
/// without packet information, with virtio-net headers. It lasts as long as the descriptor.
///
/// # Errors
/// EBUSY if another process has it; EINVAL for a name of more than 15 bytes.
pub fn open(name: &str) -> io::Result<OwnedFd> {
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC | rustix::fs::OFlags::NONBLOCK;
    let device = rustix::fs::open("/dev/net/tun", flags, rustix::fs::Mode::empty())?;
    // SAFETY: ifreq is plain data for which all zeros are valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if name.is_empty() || name.len() >= request.ifr_name.len() || name.contains('\0') {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR) as c_short;
    // SAFETY: TUNSETIFF reads and writes one ifreq, which lives until the call returns.
    if unsafe { libc::ioctl(device.as_raw_fd(), libc::TUNSETIFF as _, &mut request) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(device)
}
