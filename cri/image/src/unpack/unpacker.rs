//! The daemon's side of unpacking: starts the confined child, feeds it, checks its report.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};

use super::confine::CPU_SECONDS;
use super::report::{Limits, Refusal, Report};
use crate::ImageError;
use rustix::fs::{Mode, OFlags, ResolveFlags, XattrFlags};

/// The program that unpacks one layer: it must hand what follows `args` to [`crate::unpack_main`].
#[derive(Debug, Clone)]
pub struct Helper {
    /// The program, usually the daemon's own.
    pub program: PathBuf,
    /// Its first arguments, such as the name of a hidden subcommand.
    pub args: Vec<String>,
}

/// A report longer than this is nonsense.
const MAX_REPORT: u64 = 64 << 20;
/// Fewer wake-ups than with the default of 64 KiB.
const PIPE_SIZE: usize = 1 << 20;

/// A running child. Blocking; lives on a blocking thread. Dropped before its end, it is killed.
pub(crate) struct Unpacker {
    child: Child,
    stdin: Option<ChildStdin>,
    target: PathBuf,
}

impl Unpacker {
    /// Starts to unpack into an empty directory.
    pub fn start(helper: &Helper, limits: &Limits, target: &Path) -> Result<Self, ImageError> {
        let mut child = Command::new(&helper.program)
            .args(&helper.args)
            .args([limits.bytes, limits.inodes].map(|n| n.to_string()))
            .env_clear()
            .current_dir(target)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| ImageError::io(format!("start {}", helper.program.display()), e))?;
        let stdin = child.stdin.take();
        if let Some(pipe) = &stdin {
            // Only speed: over the user's limit of pipe pages it stays small.
            let _ = rustix::pipe::fcntl_setpipe_size(pipe, PIPE_SIZE);
        }
        Ok(Unpacker { child, stdin, target: target.to_owned() })
    }

    /// Feeds the child. False: it does not read any more, and `finish` says why.
    pub fn feed(&mut self, bytes: &[u8]) -> bool {
        self.stdin.as_mut().is_some_and(|pipe| pipe.write_all(bytes).is_ok())
    }

    /// Waits for the child, and marks opaque directories.
    pub fn finish(mut self) -> Result<Report, ImageError> {
        drop(self.stdin.take());
        let mut text = Vec::new();
        if let Some(stdout) = self.child.stdout.take() {
            stdout
                .take(MAX_REPORT)
                .read_to_end(&mut text)
                .map_err(|e| ImageError::io("read the unpacker's report", e))?;
        }
        let status = self.child.wait().map_err(|e| ImageError::io("wait for the unpacker", e))?;
        let report: Result<Report, Refusal> = serde_json::from_slice(&text).map_err(|_| ended_with(status))?;
        let report = report?;
        mark_opaque(&self.target, &report.opaque).map_err(|e| ImageError::io("mark opaque directories", e))?;
        Ok(report)
    }
}

fn ended_with(status: ExitStatus) -> ImageError {
    match status.signal() {
        Some(signal) if signal == rustix::process::Signal::XCPU.as_raw() => {
            ImageError::Exhausted(format!("takes more than {CPU_SECONDS} s of processor time to unpack"))
        }
        _ => ImageError::Failed(format!("the unpacker ended with {status} and no report")),
    }
}

impl Drop for Unpacker {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Done here because `trusted.*` needs CAP_SYS_ADMIN, which the child has given up. Its word about paths is not
/// trusted: the kernel resolves them as if the layer were the root.
fn mark_opaque(layer: &Path, paths: &[Vec<u8>]) -> std::io::Result<()> {
    let root = File::open(layer)?;
    for path in paths {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat2(&root, path.as_slice(), flags, Mode::empty(), resolve) {
            Ok(dir) => rustix::fs::fsetxattr(&dir, "trusted.overlay.opaque", b"y", XattrFlags::empty())?,
            // Replaced later in the same layer.
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}
