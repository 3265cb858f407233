//! What a process is given for itself: user, capabilities, environment. All but the last step is done before the
//! process can be seen by others in its PID namespace.

use std::io;

use cofferdam_sys::cred::{self, CapSets};
use cofferdam_sys::seccomp;
use oci_spec::runtime::{Capabilities, Capability, Process};
use rustix::fs::Mode;
use rustix::io::Errno;

use crate::Error;
use crate::error::Step;

/// In the order of the kernel's numbers.
const NUMBERS: [Capability; 41] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::DacReadSearch,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setpcap,
    Capability::LinuxImmutable,
    Capability::NetBindService,
    Capability::NetBroadcast,
    Capability::NetAdmin,
    Capability::NetRaw,
    Capability::IpcLock,
    Capability::IpcOwner,
    Capability::SysModule,
    Capability::SysRawio,
    Capability::SysChroot,
    Capability::SysPtrace,
    Capability::SysPacct,
    Capability::SysAdmin,
    Capability::SysBoot,
    Capability::SysNice,
    Capability::SysResource,
    Capability::SysTime,
    Capability::SysTtyConfig,
    Capability::Mknod,
    Capability::Lease,
    Capability::AuditWrite,
    Capability::AuditControl,
    Capability::Setfcap,
    Capability::MacOverride,
    Capability::MacAdmin,
    Capability::Syslog,
    Capability::WakeAlarm,
    Capability::BlockSuspend,
    Capability::AuditRead,
    Capability::Perfmon,
    Capability::Bpf,
    Capability::CheckpointRestore,
];

const SYS_ADMIN: u64 = 1 << 21;

/// All that [`NUMBERS`] has.
const EVERY: u64 = (1 << NUMBERS.len()) - 1;

/// The sets that a process ends with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Caps {
    bounding: u64,
    sets: CapSets,
    ambient: u64,
}

impl Caps {
    /// No word on capabilities means none.
    pub fn of(process: &Process) -> Self {
        let Some(caps) = process.capabilities() else { return Caps::default() };
        Caps {
            bounding: bits(caps.bounding()),
            sets: CapSets {
                effective: bits(caps.effective()),
                permitted: bits(caps.permitted()),
                inheritable: bits(caps.inheritable()),
            },
            ambient: bits(caps.ambient()),
        }
    }

    /// Of a process that asks for every capability: those that the node has, since it may lack one (in a container, in
    /// a VM, by its own unit). A process that names what it wants gets exactly that, or an error.
    fn granted(process: &Process) -> io::Result<Self> {
        Ok(Self::of(process).within(cred::capabilities()?.permitted))
    }

    fn within(self, held: u64) -> Self {
        if self.bounding != EVERY {
            return self;
        }
        let sets = CapSets {
            effective: self.sets.effective & held,
            permitted: self.sets.permitted & held,
            inheritable: self.sets.inheritable & held,
        };
        Self { bounding: self.bounding & held, sets, ambient: self.ambient & held }
    }
}

fn bits(list: &Option<Capabilities>) -> u64 {
    let number = |cap: &Capability| NUMBERS.iter().position(|c| c == cap);
    list.iter().flatten().filter_map(number).fold(0, |set, number| set | 1 << number)
}

/// A seccomp program needs CAP_SYS_ADMIN until it is loaded, unless there is no_new_privs.
pub(crate) fn keeps_admin(process: &Process, program: &[u8]) -> bool {
    !program.is_empty() && process.no_new_privileges() != Some(true)
}

/// Keyring, umask, capabilities, no_new_privs, user.
pub(crate) fn give_up(process: &Process, program: &[u8]) -> Result<(), Error> {
    match cred::new_session_keyring() {
        Err(e) if e.raw_os_error() == Some(Errno::NOSYS.raw_os_error()) => {}
        other => other.step("join a new session keyring")?,
    }
    let user = process.user();
    rustix::process::umask(Mode::from_raw_mode(user.umask().unwrap_or(0o022) & 0o777));
    let caps = Caps::granted(process).step("read capabilities")?;
    cred::limit_bounding(caps.bounding).step("limit capabilities")?;
    if process.no_new_privileges() == Some(true) {
        cred::no_new_privileges().step("set no_new_privs")?;
    }
    cred::keep_capabilities(true).step("keep capabilities")?;
    let groups = user.additional_gids().clone().unwrap_or_default();
    cred::set_user(user.uid(), user.gid(), &groups).step_at("become the user", user.uid())?;
    cred::keep_capabilities(false).step("keep capabilities")?;
    let mut sets = caps.sets;
    if keeps_admin(process, program) {
        sets.effective |= SYS_ADMIN;
        sets.permitted |= SYS_ADMIN;
    }
    cred::set_capabilities(sets).step("set capabilities")?;
    cred::set_ambient(caps.ambient).step("set ambient capabilities")
}

/// The last step before execve; or before the fork, where CAP_SYS_ADMIN must not be seen in the PID namespace.
pub(crate) fn confine(process: &Process, program: &[u8]) -> Result<(), Error> {
    if program.is_empty() {
        return Ok(());
    }
    seccomp::load(program).step("load the seccomp program")?;
    if keeps_admin(process, program) {
        let caps = Caps::granted(process).step("read capabilities")?;
        cred::set_capabilities(caps.sets).step("set capabilities")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_have_the_kernels_numbers() {
        let list: Capabilities =
            [Capability::Chown, Capability::SysAdmin, Capability::CheckpointRestore].into_iter().collect();
        assert_eq!(bits(&Some(list)), 1 | SYS_ADMIN | 1 << 40);
    }

    #[test]
    fn every_capability_means_those_of_the_node_and_named_ones_mean_themselves() {
        let with =
            |set| Caps { bounding: set, sets: CapSets { effective: set, permitted: set, inheritable: 0 }, ambient: 0 };
        let held = EVERY & !SYS_ADMIN;
        assert_eq!(with(EVERY).within(held), with(held));
        assert_eq!(with(SYS_ADMIN | 1).within(held), with(SYS_ADMIN | 1));
    }

    #[test]
    fn no_word_on_capabilities_means_none() {
        let mut process = Process::default();
        process.set_capabilities(None);
        assert_eq!(Caps::of(&process), Caps::default());
    }
}
