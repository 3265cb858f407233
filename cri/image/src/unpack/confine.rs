//! How the child confines itself before it reads a byte.

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::thread::{CapabilitySet, CapabilitySets};

/// Nobody: a user that owns no process, so that none can be signalled or traced.
const NOBODY: u32 = 65534;
/// Decoders need windows of at most 128 MiB.
const MEMORY: u64 = 2 << 30;
/// Seconds of processor time for one layer: the largest that is allowed needs a few minutes.
pub(crate) const CPU_SECONDS: u64 = 30 * 60;

/// Makes the working directory the root: nothing else of the node is left in the child's view.
pub(crate) fn enter() -> Result<(), String> {
    let step = |what: &'static str| move |e: nix::errno::Errno| format!("confine: {what}: {e}");
    let flags =
        CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWUTS;
    unshare(flags).map_err(step("unshare"))?;
    let here = std::env::current_dir().map_err(|e| format!("confine: working directory: {e}"))?;
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).map_err(step("make mounts private"))?;
    mount(Some(&here), &here, none, MsFlags::MS_BIND, none).map_err(step("bind the target"))?;
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(none, &here, none, flags, none).map_err(step("remount the target"))?;
    std::env::set_current_dir(&here).map_err(|e| format!("confine: enter the target: {e}"))?;
    nix::unistd::pivot_root(".", ".").map_err(step("pivot_root"))?;
    umount2(".", MntFlags::MNT_DETACH).map_err(step("leave the old root"))?;
    std::env::set_current_dir("/").map_err(|e| format!("confine: enter the root: {e}"))?;
    drop_privileges()
}

/// What is left: files of any owner, modes with setuid bits, file capabilities. Whiteouts need no CAP_MKNOD.
fn drop_privileges() -> Result<(), String> {
    let step = |what: &'static str| move |e: rustix::io::Errno| format!("confine: {what}: {e}");
    let limit = |n| Rlimit { current: Some(n), maximum: Some(n) };
    setrlimit(Resource::As, limit(MEMORY)).map_err(step("limit memory"))?;
    setrlimit(Resource::Cpu, limit(CPU_SECONDS)).map_err(step("limit processor time"))?;
    setrlimit(Resource::Core, limit(0)).map_err(step("limit core files"))?;
    rustix::process::umask(rustix::fs::Mode::empty());
    rustix::thread::set_no_new_privs(true).map_err(step("no_new_privs"))?;
    rustix::thread::set_keep_capabilities(true).map_err(step("keep capabilities"))?;
    setgroups(&[]).map_err(|e| format!("confine: setgroups: {e}"))?;
    let (uid, gid) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
    setresgid(gid, gid, gid).map_err(|e| format!("confine: setresgid: {e}"))?;
    setresuid(uid, uid, uid).map_err(|e| format!("confine: setresuid: {e}"))?;
    let kept = CapabilitySet::CHOWN
        | CapabilitySet::DAC_OVERRIDE
        | CapabilitySet::FOWNER
        | CapabilitySet::FSETID
        | CapabilitySet::SETFCAP;
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    rustix::thread::set_capabilities(None, sets).map_err(step("drop capabilities"))?;
    // A daemon that is killed takes its children with it. After the change of user, which clears this.
    let signal = Some(rustix::process::Signal::KILL);
    rustix::process::set_parent_process_death_signal(signal).map_err(step("die with the daemon"))
}
