//! One daemon, and critest runs against it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use cofferdam_test_images::{dies_with_parent, recipes::critest, storage_of};
use cofferdam_test_support::{Daemon, critest_path};

use crate::binary;
use crate::host::SharedMemory;
use cofferdam_test_support::expected::Expected;
use cofferdam_test_support::junit::{self, Case};

/// The registries that critest pulls from.
const REGISTRIES: [&str; 3] = ["registry.k8s.io", "gcr.io", "k8s.gcr.io"];

/// critest makes a new namespace for every pod and shares what the host has with some: they are of the default tenant,
/// which may do that here.
const CONFIG: &str = "[tenant]\nunlabelled = \"default\"\n\n[tenant.default]\nhostAccess = \"Allowed\"\n";

/// The order in which ginkgo shuffles the specs: always the same one, so that two runs can be compared.
const SEED: &str = "1";

/// A daemon with a handler that critest asks for, and a copy of critest.
#[derive(Debug)]
pub struct Suite {
    /// Before the daemon, whose end takes the directory with the notes away.
    memory: SharedMemory,
    daemon: Daemon,
    handler: String,
    program: PathBuf,
    runs: u32,
}

impl Suite {
    /// Starts the daemon.
    pub fn start(handler: &str) -> Result<Self> {
        let images = storage_of(&critest::SET)?;
        let critest = critest_path()?;
        let mut builder = Daemon::builder(&format!("critest-{handler}")).images(&images).config(CONFIG);
        for registry in REGISTRIES {
            builder = builder.mirror(registry);
        }
        let daemon = builder.start()?;
        let program = daemon.dir().join("critest");
        binary::with_digest(&critest, &binary::stored_digest(&images, critest::DIGEST_REPOSITORY)?, &program)?;
        let memory = SharedMemory::watch(&daemon.dir().join("host-tools"))?;
        fs::create_dir(daemon.dir().join("tmp"))?;
        Ok(Self { daemon, handler: handler.to_owned(), program, memory, runs: 0 })
    }

    /// Runs all specs, or those whose name is one of `only`. A run that is not through after `limit` is ended by ginkgo
    /// itself, which then reports where it was.
    pub fn run(&mut self, only: &[&str], limit: Duration) -> Result<Vec<Case>> {
        self.runs += 1;
        let report = self.daemon.dir().join(format!("junit-{}.xml", self.runs));
        let log = self.daemon.dir().join(format!("critest-{}.log", self.runs));
        let file = File::create(&log)?;
        let mut command = self.command(&report, limit);
        if !only.is_empty() {
            command.arg(format!("--ginkgo.focus={}", focus(only)));
        }
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let status = wait(command.spawn().context("start critest")?, limit + Duration::from_secs(120))?;
        match fs::read_to_string(&report) {
            Ok(xml) => junit::parse(&xml),
            Err(_) => bail!("critest wrote no report ({status:?}):\n{}", tail(&log)),
        }
    }

    fn command(&self, report: &Path, limit: Duration) -> Command {
        let socket = format!("unix://{}", self.daemon.socket().display());
        let mut command = dies_with_parent();
        command
            .arg("nsenter")
            .arg(format!("--net={}", self.daemon.host().host.path().display()))
            .arg(&self.program)
            .args(["--runtime-endpoint", &socket, "--image-endpoint", &socket])
            .args(["--runtime-handler", &self.handler])
            .args(["--ginkgo.seed", SEED, "--ginkgo.no-color"])
            .arg(format!("--ginkgo.timeout={}s", limit.as_secs()))
            .arg(format!("--ginkgo.junit-report={}", report.display()))
            .current_dir(self.daemon.dir())
            .env("TMPDIR", self.daemon.dir().join("tmp"))
            .env("PATH", self.memory.path());
        command
    }
}

/// Runs those specs once more that failed and are not on the list, since a busy machine can be the reason. What the
/// second run says holds; which specs those were is printed.
pub fn rerun_failed(suite: &mut Suite, expected: &Expected, cases: Vec<Case>, limit: Duration) -> Result<Vec<Case>> {
    let failed: Vec<&str> =
        cases.iter().filter(|case| expected.fails_unexpectedly(case)).map(|case| case.name.as_str()).collect();
    if failed.is_empty() {
        return Ok(cases);
    }
    eprintln!("failed once, run again:");
    for case in cases.iter().filter(|case| failed.contains(&case.name.as_str())) {
        eprintln!("  {}\n    {}", case.name, case.message.replace('\n', "\n    "));
    }
    let again = suite.run(&failed, limit)?;
    let of_second_run = |case: &Case| again.iter().find(|one| one.name == case.name).unwrap_or(case).clone();
    Ok(cases
        .iter()
        .map(|case| if failed.contains(&case.name.as_str()) { of_second_run(case) } else { case.clone() })
        .collect())
}

/// A regular expression (Go's) that matches these specs only. ginkgo has the suite's description in front of a spec's
/// text, and matches without the labels that its report adds behind it.
fn focus(names: &[&str]) -> String {
    let escaped = |name: &&str| -> String {
        let plain = |c: char| c.is_alphanumeric() || c == ' ';
        let text = name.strip_suffix(" [Serial]").unwrap_or(name);
        text.chars().flat_map(|c| (!plain(c)).then_some('\\').into_iter().chain([c])).collect()
    };
    format!("^CRI validation ({})( \\[Serial\\])?$", names.iter().map(escaped).collect::<Vec<_>>().join("|"))
}

fn wait(mut child: Child, limit: Duration) -> Result<ExitStatus> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            bail!("critest did not end within {limit:?}, not even by its own timeout");
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_focus_matches_names_as_they_are() {
        let focus = super::focus(&["[k8s.io] a b [Serial]", "c"]);
        assert_eq!(focus, r"^CRI validation (\[k8s\.io\] a b|c)( \[Serial\])?$");
    }
}
