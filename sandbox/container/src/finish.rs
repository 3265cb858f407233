//! From the container's view to its command: working directory, session, execution.

use std::convert::Infallible;
use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use cofferdam_pod_api::unpack_variable;
use cofferdam_sys::process::{close_all, dup_to, execve, set_controlling_terminal};
use oci_spec::runtime::Process;
use rustix::fs::{Access, AtFlags, CWD, FileType, Gid, Uid, accessat, fchown, stat};
use rustix::io::Errno;

use crate::error::Step;
use crate::stdio::ChildStdio;
use crate::wire::Channel;
use crate::{Error, process};

/// Enters the working directory and gives up privileges. The root is the container's.
pub(crate) fn settle(process: &Process, program: &[u8], terminal: Option<&OwnedFd>) -> Result<(), Error> {
    if let Some(slave) = terminal {
        let uid = process.user().uid();
        // The group is the mount's (tty); refused by a mount that says nothing of it where nobody needs it.
        fchown(slave, Some(Uid::from_raw(uid)), None::<Gid>).step("give the terminal to the user")?;
    }
    // Before, because root may where the user may not; afterwards, because of network file systems it is the other way
    // round.
    let before = rustix::process::chdir(process.cwd());
    process::give_up(process, program)?;
    if before.is_err() {
        rustix::process::chdir(process.cwd()).map_err(|e| cwd_error(process, e))?;
    }
    // A directory outside of the root (a leaked descriptor, a race) has no path here.
    let cwd = rustix::process::getcwd(Vec::new()).map_err(|e| cwd_error(process, e))?;
    if cwd.as_bytes().first() == Some(&b'/') { Ok(()) } else { Err(cwd_error(process, "leads out of the root")) }
}

fn cwd_error(process: &Process, why: impl std::fmt::Display) -> Error {
    Error::Command(format!("working directory {}: {why}", process.cwd().display()))
}

/// Standard streams, and nothing else that is open but the channel: before the process is seen by others in its PID
/// namespace. What the descriptors' owners do not know of must not be dropped in this process.
pub(crate) fn dress(stdio: &ChildStdio, slave: Option<OwnedFd>, parent: &Channel) -> Result<(), Error> {
    if let Some(slave) = slave {
        for number in 0..3 {
            dup_to(slave.as_fd(), number).step("set up standard streams")?;
        }
    }
    stdio.install()?;
    let channel = u32::try_from(parent.0.as_raw_fd()).step("number of the channel")?;
    if channel > 3 {
        close_all(3, channel - 1).step("close descriptors")?;
    }
    close_all(channel + 1, u32::MAX).step("close descriptors")
}

/// A session of its own, then the command once the parent says so. Answers the exit code if it cannot be. The program
/// is empty where it was loaded before.
pub(crate) fn run(process: &Process, program: &[u8], terminal: bool, parent: &Channel) -> i32 {
    let done: Result<Infallible, Error> = stand_by(terminal).and_then(|()| {
        parent.send_ready(None)?;
        if !parent.wait_go() {
            return Err(Error::failed("start", "the parent is gone"));
        }
        Err(execute(process, program))
    });
    let Err(error) = done;
    parent.send_error(&error);
    127
}

fn stand_by(terminal: bool) -> Result<(), Error> {
    rustix::process::setsid().step("make a session")?;
    if terminal {
        set_controlling_terminal(rustix::stdio::stdin()).step("own the terminal")?;
    }
    Ok(())
}

fn execute(process: &Process, program: &[u8]) -> Error {
    let args = process.args().clone().unwrap_or_default();
    let env: Vec<Vec<u8>> = process.env().iter().flatten().filter_map(|packed| unpack_variable(packed)).collect();
    let name = args.first().cloned().unwrap_or_default();
    let (path, args, env) = match find(&name, &env)
        .and_then(|path| Ok((cstring(path.as_os_str().as_bytes())?, list(&args)?, list(&env)?)))
    {
        Ok(all) => all,
        Err(error) => return error,
    };
    if let Err(error) = process::confine(process, program) {
        return error;
    }
    Error::Command(format!("exec {name:?}: {}", execve(&path, &args, &env)))
}

fn list<T: AsRef<[u8]>>(texts: &[T]) -> Result<Vec<CString>, Error> {
    texts.iter().map(|text| cstring(text.as_ref())).collect()
}

fn cstring(bytes: &[u8]) -> Result<CString, Error> {
    CString::new(bytes).map_err(|e| Error::refused("process.args", e))
}

/// The file of a command, looked up as the user in the container's own PATH.
fn find(name: &str, env: &[Vec<u8>]) -> Result<PathBuf, Error> {
    let why = |text: &dyn std::fmt::Display| Error::Command(format!("exec {name:?}: {text}"));
    if name.contains('/') {
        return executable(Path::new(name)).map_err(|e| why(&e));
    }
    let path = env
        .iter()
        .find_map(|v| v.strip_prefix(b"PATH="))
        .unwrap_or(b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    let mut worst = None;
    for dir in path.split(|byte| *byte == b':') {
        let dir = if dir.is_empty() { b"." } else { dir };
        match executable(&Path::new(OsStr::from_bytes(dir)).join(name)) {
            Ok(found) => return Ok(found),
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            Err(error) => worst = Some(error),
        }
    }
    Err(worst.map_or_else(|| why(&"executable file not found in $PATH"), |e| why(&e)))
}

fn executable(path: &Path) -> Result<PathBuf, Errno> {
    let kind = FileType::from_raw_mode(stat(path)?.st_mode);
    if kind == FileType::Directory {
        return Err(Errno::ISDIR);
    }
    accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS).map(|()| path.to_owned())
}
