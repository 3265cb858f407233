//! What all wrappers of libnftnl share: limits, errors, the buffer for messages, and owned objects.

use std::ffi::{CStr, CString, c_char};

use nftnl::{MsgType, NlMsg};
use nftnl_sys as sys;

/// NFPROTO_INET: the family of the table.
pub const FAMILY_INET: u16 = 1;
/// Longest name of a table, chain or set (NFT_NAME_MAXLEN without its NUL).
pub const MAX_NAME: usize = 255;
/// Longest key or comparison, in bytes (NFT_DATA_VALUE_MAXLEN).
pub const MAX_DATA: usize = 64;

/// Bytes of the buffer in which one message is built. A netlink attribute ends at 64 KiB; the limits of the builders
/// keep a message below that.
const SCRATCH: usize = 256 * 1024;

/// What cannot be said to the kernel.
#[derive(Debug, thiserror::Error)]
pub enum Invalid {
    /// A name or text with a NUL byte or too long.
    #[error("{0:?} is not a valid name")]
    Name(String),
    /// A key or constant above [`MAX_DATA`].
    #[error("a key or constant of {0} bytes")]
    Data(usize),
    /// Too many expressions in a rule.
    #[error("a rule of more than {MAX_EXPRS} expressions")]
    Rule,
    /// The library had no memory.
    #[error("out of memory")]
    Memory,
    /// A constant that does not fit its field.
    #[error("{0}")]
    Type(String),
}

/// Most expressions in one rule (NFT_RULE_MAXEXPRS).
pub const MAX_EXPRS: usize = 128;

/// Type, flags and sequence number of a message.
#[derive(Debug, Clone, Copy)]
pub struct Header {
    /// `NFT_MSG_*`.
    pub command: u16,
    /// `NLM_F_*` beside NLM_F_REQUEST.
    pub flags: u16,
    /// Sequence number.
    pub seq: u32,
}

/// A buffer in which messages are built, aligned for netlink.
pub struct Scratch(Box<[u64]>);

impl Default for Scratch {
    fn default() -> Self {
        Scratch(vec![0; SCRATCH / 8].into_boxed_slice())
    }
}

impl Scratch {
    pub(super) fn begin(&mut self, header: Header) -> *mut libc::nlmsghdr {
        let buffer: *mut c_char = self.0.as_mut_ptr().cast();
        // SAFETY: the buffer is aligned for nlmsghdr and larger than the two headers written.
        unsafe { sys::nftnl_nlmsg_build_hdr(buffer, header.command, FAMILY_INET, header.flags, header.seq) }
    }

    /// The message last built.
    pub(super) fn finish(&self) -> &[u8] {
        let header: *const libc::nlmsghdr = self.0.as_ptr().cast();
        // SAFETY: `begin` wrote an nlmsghdr at the start of this aligned buffer.
        let len = unsafe { (*header).nlmsg_len } as usize;
        // SAFETY: the library wrote `len` bytes from the start; the limits of the builders keep it within the buffer,
        // and `min` keeps the slice in it.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), len.min(SCRATCH)) }
    }

    /// The message about an object of the crate `nftnl`, under this header instead of the one that the crate would give
    /// it.
    pub fn message(&mut self, header: Header, object: &impl NlMsg) -> &[u8] {
        // SAFETY: the buffer is larger than `nftnl::nft_nlmsg_maxsize()`, 64 KiB and a page, and aligned for nlmsghdr.
        unsafe { object.write(self.0.as_mut_ptr().cast(), header.seq, MsgType::Add) };
        let written: *mut libc::nlmsghdr = self.0.as_mut_ptr().cast();
        // SAFETY: the object has just written an nlmsghdr at the start of this aligned buffer.
        unsafe {
            (*written).nlmsg_type = ((libc::NFNL_SUBSYS_NFTABLES as u16) << 8) | header.command;
            (*written).nlmsg_flags = libc::NLM_F_REQUEST as u16 | header.flags;
        }
        self.finish()
    }

    /// The message that opens a batch.
    pub fn batch_begin(&mut self, seq: u32) -> &[u8] {
        // SAFETY: the buffer is aligned and large enough for the two headers written.
        unsafe { sys::nftnl_batch_begin(self.0.as_mut_ptr().cast(), seq) };
        self.finish()
    }

    /// The message that closes a batch.
    pub fn batch_end(&mut self, seq: u32) -> &[u8] {
        // SAFETY: as in `batch_begin`.
        unsafe { sys::nftnl_batch_end(self.0.as_mut_ptr().cast(), seq) };
        self.finish()
    }

    /// Copies a received message here, so that the library reads aligned memory of a known length.
    pub(super) fn copy(&mut self, message: &[u8]) -> Option<*const libc::nlmsghdr> {
        let header: *mut libc::nlmsghdr = self.0.as_mut_ptr().cast();
        if message.len() < size_of::<libc::nlmsghdr>() || message.len() > SCRATCH {
            return None;
        }
        // SAFETY: `message` fits (checked) and the two buffers do not overlap.
        unsafe { std::ptr::copy_nonoverlapping(message.as_ptr(), header.cast(), message.len()) };
        // SAFETY: a header was just copied here. Its length is set to what is really there.
        unsafe { (*header).nlmsg_len = message.len() as u32 };
        Some(header)
    }
}

/// A name for the library.
///
/// # Errors
/// Empty, too long, or with a NUL byte.
pub fn name(text: &str) -> Result<CString, Invalid> {
    if text.is_empty() || text.len() > MAX_NAME {
        return Err(Invalid::Name(text.to_owned()));
    }
    CString::new(text).map_err(|_| Invalid::Name(text.to_owned()))
}

/// Data that fits a register.
pub(super) fn reg_data(data: &[u8]) -> Result<(*const std::ffi::c_void, u32), Invalid> {
    if data.is_empty() || data.len() > MAX_DATA {
        return Err(Invalid::Data(data.len()));
    }
    Ok((data.as_ptr().cast(), data.len() as u32))
}

/// An owned copy of a string of the library.
///
/// # Safety
/// `text` is null or a NUL-terminated string that lives until this returns.
pub(super) unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: not null (checked), NUL-terminated and alive (the caller's promise).
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// A library object that is freed when dropped.
macro_rules! owned {
    ($(#[$doc:meta])* $name:ident, $raw:ident, $alloc:ident, $free:ident) => {
        $(#[$doc])*
        pub(super) struct $name(std::ptr::NonNull<sys::$raw>);

        impl $name {
            pub(super) fn new() -> Result<Self, $crate::ffi::Invalid> {
                // SAFETY: allocates; null on failure.
                let raw = unsafe { sys::$alloc() };
                std::ptr::NonNull::new(raw).map($name).ok_or($crate::ffi::Invalid::Memory)
            }

            pub(super) fn ptr(&self) -> *mut sys::$raw {
                self.0.as_ptr()
            }
        }

        impl Drop for $name {
            fn drop(&mut self) {
                // SAFETY: allocated by `new`, owned by this value alone, freed once.
                unsafe { sys::$free(self.0.as_ptr()) };
            }
        }
    };
}
pub(super) use owned;

/// Turns the library's -1 into an error.
pub(super) fn done(result: std::ffi::c_int) -> Result<(), Invalid> {
    if result < 0 { Err(Invalid::Memory) } else { Ok(()) }
}
