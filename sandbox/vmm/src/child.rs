//! Starting a process of the VMM: namespaces, cgroup, root directory, descriptors, user, then execve.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use cofferdam_cgroup::Joining;
use cofferdam_sys::process::{
    CLONE_NEWCGROUP, CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUSER, CLONE_NEWUTS, Spawned,
    cloexec_from, dup_to, execve, set_rlimit, spawn, unshare,
};
use cofferdam_sys::{cred, fd, signal};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{
    Signal, WaitId, WaitIdOptions, pidfd_send_signal, set_parent_process_death_signal, umask, waitid,
};

use crate::error::Step;
use crate::root::Root;
use crate::{VmmError, privileges};

const RLIMIT_CORE: u32 = 4;
const RLIMIT_NOFILE: u32 = 7;

/// What is to be run.
pub(crate) struct Program<'a> {
    /// For messages.
    pub(crate) name: &'static str,
    /// The first is the binary's path.
    pub(crate) args: Vec<String>,
    pub(crate) root: Root,
    /// An existing directory of the host that the root is made over, in the child's mount namespace only.
    pub(crate) at: &'a Path,
    pub(crate) cgroup: &'a str,
    pub(crate) user: User,
    /// Descriptors that keep their numbers.
    pub(crate) keep: Vec<BorrowedFd<'a>>,
    pub(crate) stdout: BorrowedFd<'a>,
    pub(crate) stderr: BorrowedFd<'a>,
    /// Most open descriptors.
    pub(crate) files: u64,
}

/// As whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum User {
    /// With these groups and no capability.
    Plain { uid: u32, groups: Vec<u32> },
    /// Root of a user namespace in which every UID is itself: it serves files of all users, and has no power over
    /// anything else of the host.
    FileServer,
}

/// Starts it. Returns once it is executed.
pub(crate) fn start(program: &Program<'_>) -> Result<Spawned, VmmError> {
    let what = format!("start {}", program.name);
    let joining = Joining::of(program.cgroup).step(&what)?;
    let (mine, theirs) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).step(&what)?;
    let flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET;
    let into = match &joining {
        Joining::Into(dir) => Some(dir.as_fd()),
        Joining::Tasks(_) => None,
    };
    let spawned = spawn(flags, into, || {
        let error = match prepare(program, &joining, &theirs) {
            Ok((path, args)) => execve(&path, &args, &[c"PATH=/usr/bin".to_owned()]),
            Err(error) => error,
        };
        // The parent waits for this, or is gone.
        drop(fd::send(theirs.as_fd(), format!("E{error}").as_bytes(), &[]));
        126
    })
    .step(&what)?;
    drop(theirs);
    listen(&mine, &spawned).map_err(|error| {
        kill(&spawned.pidfd);
        VmmError::failed(what, error)
    })?;
    Ok(spawned)
}

/// Kills a process and reaps it. Waits only for what could be killed.
pub(crate) fn kill(pidfd: &OwnedFd) {
    if pidfd_send_signal(pidfd, Signal::KILL).is_ok() {
        let _ = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED);
    }
}

fn listen(channel: &OwnedFd, child: &Spawned) -> io::Result<()> {
    let mut data = [0; 1024];
    loop {
        let (length, _) = fd::receive(channel.as_fd(), &mut data)?;
        match data.get(..length).and_then(|data| data.split_first()) {
            // Closed by execve.
            None => return Ok(()),
            Some((b'U', _)) => {
                for map in ["uid_map", "gid_map"] {
                    named("map its users", std::fs::write(format!("/proc/{}/{map}", child.pid), "0 0 4294967295"))?;
                }
                fd::send(channel.as_fd(), b"G", &[])?;
            }
            Some((_, error)) => return Err(io::Error::other(String::from_utf8_lossy(error).into_owned())),
        }
    }
}

fn named<T, E: Into<io::Error>>(what: &str, result: Result<T, E>) -> io::Result<T> {
    result.map_err(|error| {
        let error = error.into();
        io::Error::new(error.kind(), format!("{what}: {error}"))
    })
}

// In the child, up to execve.
fn prepare(program: &Program<'_>, joining: &Joining, channel: &OwnedFd) -> io::Result<(CString, Vec<CString>)> {
    let args: Vec<CString> = program.args.iter().map(|arg| CString::new(arg.as_str())).collect::<Result<_, _>>()?;
    let path = args.first().cloned().ok_or_else(|| io::Error::other("no program"))?;
    signal::reset();
    set_parent_process_death_signal(Some(Signal::KILL))?;
    rustix::process::setsid()?;
    // The user that it becomes must get through its root directory.
    umask(Mode::from_raw_mode(0o022));
    named("join the cgroup", joining.join())?;
    named("make a cgroup namespace", unshare(CLONE_NEWCGROUP))?;
    match cred::new_session_keyring() {
        Err(error) if error.raw_os_error() != Some(rustix::io::Errno::NOSYS.raw_os_error()) => return Err(error),
        _ => {}
    }
    named("limit core dumps", set_rlimit(RLIMIT_CORE, 0, 0))?;
    named("limit descriptors", limit_files(program.files))?;
    let null = open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    named("make its root directory", program.root.enter(program.at))?;
    umask(Mode::from_raw_mode(0o077));
    named("change the user", become_user(&program.user, channel))?;
    // A change of the user has cleared it.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    cloexec_from(3)?;
    dup_to(null.as_fd(), 0)?;
    dup_to(program.stdout, 1)?;
    dup_to(program.stderr, 2)?;
    for fd in &program.keep {
        fcntl_setfd(fd, FdFlags::empty())?;
    }
    Ok((path, args))
}

// A daemon without CAP_SYS_RESOURCE cannot raise its own limit, and then that is the limit.
fn limit_files(files: u64) -> io::Result<()> {
    match set_rlimit(RLIMIT_NOFILE, files, files) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum.unwrap_or(files);
            set_rlimit(RLIMIT_NOFILE, most, most)
        }
        other => other,
    }
}

fn become_user(user: &User, channel: &OwnedFd) -> io::Result<()> {
    match user {
        User::Plain { uid, groups } => {
            // Groups need a capability, which the rest takes away.
            cred::no_new_privileges()?;
            cred::set_ambient(0)?;
            cred::limit_bounding(0)?;
            cred::set_user(*uid, *uid, groups)?;
            cred::set_capabilities(cred::CapSets::default())
        }
        User::FileServer => {
            named("make a user namespace", unshare(CLONE_NEWUSER))?;
            fd::send(channel.as_fd(), b"U", &[])?;
            let (length, _) = fd::receive(channel.as_fd(), &mut [0; 1])?;
            if length == 0 {
                return Err(io::Error::other("the shim is gone"));
            }
            named("keep the capabilities of a file server", privileges::keep_file_server())
        }
    }
}
