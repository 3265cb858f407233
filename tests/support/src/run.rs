//! Running commands with a time limit.

use std::ffi::OsStr;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

/// How long a command may take.
const LIMIT: Duration = Duration::from_secs(120);

/// What a command left.
#[derive(Clone, Debug)]
pub struct Output {
    /// Exit code; 128 + number after a signal, 124 after the time limit.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    command: String,
}

impl Output {
    /// Standard output of a command that succeeded.
    pub fn ok(self) -> Result<String> {
        if self.code != 0 {
            bail!("{}: exit {}\n{}{}", self.command, self.code, self.stdout, self.stderr);
        }
        Ok(self.stdout)
    }

    /// Standard error of a command that failed.
    pub fn err(self) -> Result<String> {
        if self.code == 0 {
            bail!("{} succeeded, which it must not:\n{}", self.command, self.stdout);
        }
        Ok(self.stderr)
    }
}

/// Runs a command to its end, whatever that is, but not for longer than two minutes.
pub fn output_of(program: impl AsRef<OsStr>, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<Output> {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", &LIMIT.as_secs().to_string()]).arg(program.as_ref()).args(args);
    let text = format!("{command:?}");
    let output = command.stdin(Stdio::null()).output().with_context(|| text.clone())?;
    Ok(Output {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        command: text,
    })
}

/// Runs a command that has to succeed; its standard output.
pub fn run(program: impl AsRef<OsStr>, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<String> {
    output_of(program, args)?.ok()
}
