//! One process of the cluster, with a log of its own.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use cofferdam_test_images::dies_with_parent;
use cofferdam_test_support::{Netns, eventually, signal};
use rustix::process::Signal;

/// How many lines of a log a failure shows.
const TAIL: usize = 30;

/// A running component. Dropping it kills it.
#[derive(Debug)]
pub struct Component {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Component {
    /// Starts `program` inside the network namespace; what it says goes to `DIR/NAME.log`.
    pub fn start(netns: &Netns, dir: &Path, name: &'static str, program: &Path, args: &[String]) -> Result<Self> {
        let log = dir.join(format!("{name}.log"));
        let out = OpenOptions::new().create(true).append(true).open(&log)?;
        let child = dies_with_parent()
            .arg("nsenter")
            .arg(format!("--net={}", netns.path().display()))
            .arg(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        Ok(Self { name, child, log })
    }

    /// Asks until `check` says yes. Fails at once when the process has ended, with the end of its log.
    pub fn wait(&mut self, what: &str, mut check: impl FnMut() -> Result<bool>) -> Result<()> {
        let mut ended = None;
        let answered = eventually(&format!("{}: {what}", self.name), || {
            ended = self.child.try_wait()?;
            if ended.is_some() { Ok(true) } else { check() }
        });
        if let Some(status) = ended {
            bail!("{} ended: {status}\n{}", self.name, self.tail());
        }
        answered.with_context(|| self.tail())
    }

    /// Waits until it ends by itself, for as long as a whole suite takes.
    pub fn finish(mut self, limit: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(500));
        }
        bail!("{} has not ended within {limit:?}\n{}", self.name, self.tail())
    }

    /// SIGTERM, and waits for the end.
    pub fn stop(mut self) -> Result<()> {
        signal(self.child.id(), Signal::TERM)?;
        let child = &mut self.child;
        let ended = eventually(&format!("{} ended", self.name), || Ok(child.try_wait()?.is_some()));
        ended.with_context(|| self.tail())
    }

    fn tail(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        format!("--- the end of {}\n{}", self.log.display(), lines[lines.len().saturating_sub(TAIL)..].join("\n"))
    }
}

impl Drop for Component {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.tail());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
