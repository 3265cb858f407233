//! Taking privileges away, for good.

use std::io;

use cofferdam_sys::cred;

/// Becomes a user without any capability, who will never have one.
pub(crate) fn drop_all(uid: u32) -> io::Result<()> {
    cred::no_new_privileges()?;
    cred::set_ambient(0)?;
    cred::limit_bounding(0)?;
    cred::set_user(uid, uid, &[])?;
    cred::set_capabilities(cred::CapSets::default())?;
    cofferdam_sys::process::set_dumpable(false)
}

/// Of a file server; those that virtiofsd asks for, and what it needs to give up the rest.
const FILE_SERVER: [u32; 10] = [
    0,  // CHOWN
    1,  // DAC_OVERRIDE
    3,  // FOWNER
    4,  // FSETID
    6,  // SETGID
    7,  // SETUID
    8,  // SETPCAP
    18, // SYS_CHROOT
    27, // MKNOD
    31, // SETFCAP
];

/// Keeps what a file server needs, in the caller's user namespace.
pub(crate) fn keep_file_server() -> io::Result<()> {
    let keep = FILE_SERVER.iter().fold(0u64, |set, cap| set | 1 << cap);
    cred::no_new_privileges()?;
    cred::set_ambient(0)?;
    cred::limit_bounding(keep)?;
    cred::set_groups(&[])?;
    cred::set_capabilities(cred::CapSets { effective: keep, permitted: keep, inheritable: 0 })
}
