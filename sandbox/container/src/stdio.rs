//! Standard streams of a process.

use std::os::fd::{AsFd, OwnedFd};

use cofferdam_sys::process::dup_to;
use rustix::fs::{Gid, Mode, OFlags, Uid, fchown, open};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::Error;
use crate::error::Step;

/// A process that was launched, a child of this one.
#[derive(Debug)]
pub struct Launched {
    /// Its PID here.
    pub pid: u32,
    /// Its pidfd.
    pub pidfd: OwnedFd,
    /// Our ends of its standard streams.
    pub streams: LaunchedStreams,
}

/// Our ends of standard streams.
#[derive(Debug)]
pub enum LaunchedStreams {
    /// Pipes; `None` where it has /dev/null.
    Pipes {
        /// Written by us.
        stdin: Option<OwnedFd>,
        /// Read by us.
        stdout: Option<OwnedFd>,
        /// Read by us.
        stderr: Option<OwnedFd>,
    },
    /// The master of its terminal.
    Terminal(OwnedFd),
}

/// The child's ends; `None`: a terminal, made inside.
pub(crate) struct ChildStdio(pub Option<[OwnedFd; 3]>);

/// Both ends; the child's belong to the user that it will run as (ids of the host), so that it can open /dev/stdout
/// again.
pub(crate) fn make(
    terminal: bool,
    stdin: bool,
    owner: (u32, u32),
) -> Result<(ChildStdio, Option<LaunchedStreams>), Error> {
    if terminal {
        return Ok((ChildStdio(None), None));
    }
    let pipe = || pipe_with(PipeFlags::CLOEXEC).step("make a pipe");
    let (input, our_input) = match stdin {
        true => pipe().map(|(r, w)| (r, Some(w)))?,
        false => (open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).step("open /dev/null")?, None),
    };
    let ((our_out, out), (our_err, err)) = (pipe()?, pipe()?);
    if owner != (0, 0) {
        for end in stdin.then_some(&input).into_iter().chain([&out, &err]) {
            fchown(end, Some(Uid::from_raw(owner.0)), Some(Gid::from_raw(owner.1))).step("give a pipe to the user")?;
        }
    }
    let ours = LaunchedStreams::Pipes { stdin: our_input, stdout: Some(our_out), stderr: Some(our_err) };
    Ok((ChildStdio(Some([input, out, err])), Some(ours)))
}

impl ChildStdio {
    /// Puts them at 0, 1 and 2 of this process.
    pub fn install(&self) -> Result<(), Error> {
        for (number, fd) in self.0.iter().flatten().enumerate() {
            dup_to(fd.as_fd(), number as i32).step("set up standard streams")?;
        }
        Ok(())
    }
}
