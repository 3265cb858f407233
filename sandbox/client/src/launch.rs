//! Starting shims, and finding them again.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use cofferdam_cgroup as cgroup;
use cofferdam_pod_api::ShimConfig;
use cofferdam_sandbox::{ContainerExit, PodError, ProcessIdentity, SandboxError};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::binary::Binary;
use crate::death::{self, PidFd};
use crate::requester::Connection;
use crate::shim::Shim;
use crate::{identity, socket};

/// How long a new shim may take to make its namespaces, and an old one to answer.
const HELLO: Duration = Duration::from_secs(10);

/// How long a killed shim may take to end.
const KILLED: Duration = Duration::from_secs(5);

/// How long the end of a shim is waited for that has closed its connection.
const LAST_WORD: Duration = Duration::from_secs(1);

/// Starts shims.
pub struct Launcher {
    binary: Binary,
}

/// What became of a shim over a restart of the daemon.
pub enum Adopted {
    /// It lives, and is connected again.
    Live(Arc<Shim>),
    /// It is dead, and so is now all it ran.
    Dead {
        /// For people.
        reason: String,
        /// What it recorded.
        exits: Vec<ContainerExit>,
    },
}

impl Launcher {
    /// Copies the shim's binary.
    pub fn new(binary: &Path) -> io::Result<Self> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("shim {}: {error}", binary.display()));
        Ok(Launcher { binary: Binary::load(binary).map_err(named)? })
    }

    /// Starts a shim and waits until it has made what its config says. The directory of the pod is made if it is
    /// missing. On error no shim is left; what it had made is removed by the caller, who knows what that can be.
    pub async fn launch(&self, config: &ShimConfig) -> Result<Arc<Shim>, SandboxError> {
        let failed = |error: io::Error| SandboxError::failed(format!("start of the shim of pod {}", config.id), error);
        let (identity, pidfd) = self.spawn(config).map_err(failed)?;
        let connected = async {
            let socket = socket::connect(&config.dir)
                .await
                .map_err(|error| PodError::Gone(format!("connection to the shim: {error}")))?;
            Connection::open(socket).await.map_err(SandboxError::from)
        };
        let ended = |status: Option<String>| {
            let status = status.unwrap_or_default();
            SandboxError::failed("start of the shim", format!("{status}: {}", last_lines(&config.dir)))
        };
        let error = tokio::select! {
            connected = connected => match connected {
                Ok(connection) => return Ok(Shim::start(config.dir.clone(), identity, pidfd, connection)),
                Err(error) => error,
            },
            status = pidfd.ended() => ended(status),
            () = tokio::time::sleep(HELLO) => SandboxError::failed("start of the shim", "it does not answer"),
        };
        // A connection that breaks is mostly the first sign of its end, whose reason says more.
        if matches!(error, SandboxError::Pod(PodError::Gone(_)))
            && let Ok(status) = tokio::time::timeout(LAST_WORD, pidfd.ended()).await
        {
            return Err(ended(status));
        }
        end(&pidfd).await;
        Err(error)
    }

    fn spawn(&self, config: &ShimConfig) -> io::Result<(ProcessIdentity, Arc<PidFd>)> {
        DirBuilder::new().mode(0o700).recursive(true).create(&config.dir)?;
        cgroup::make(&config.shim_cgroup)?;
        let listener = socket::listen(&config.dir)?;
        let log = OpenOptions::new().append(true).create(true).mode(0o600).open(config.dir.join(SHIM_LOG))?;
        // The three descriptors that every process starts with: none has to be moved in the child.
        let child = Command::new(self.binary.path())
            .arg0("cofferdam-shim")
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(OwnedFd::from(listener)))
            .stdout(Stdio::from(config_fd(config)?))
            .stderr(Stdio::from(log))
            .spawn()?;
        let pid = child.id();
        // Not reaped before its pidfd says so, hence the number is its own.
        let raw = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or_else(|| io::Error::other("no such process"))?;
        let pidfd = Arc::new(PidFd::new(pidfd_open(raw, PidfdFlags::empty())?)?);
        Ok((identity::identify(pid)?, pidfd))
    }

    /// Finds a shim again. A dead one's containers are killed, and its records read.
    pub async fn adopt(&self, dir: &Path, process: &ProcessIdentity) -> Result<Adopted, SandboxError> {
        let reason =
            match identity::find(process).and_then(|pidfd| PidFd::new(pidfd).map_err(|error| error.to_string())) {
                Ok(pidfd) => match self.connect(dir, process, Arc::new(pidfd)).await {
                    Ok(shim) => return Ok(Adopted::Live(shim)),
                    Err(error) => error,
                },
                Err(reason) => format!("its shim is gone: {reason}"),
            };
        let dir = dir.to_owned();
        let records = tokio::task::spawn_blocking(move || death::kill_what_it_ran(&dir)).await;
        let records = records.map_err(|error| SandboxError::failed("end of a dead shim's containers", error))?;
        Ok(Adopted::Dead { reason: records.gone.unwrap_or(reason), exits: records.exits })
    }

    // A shim that lives but cannot be spoken to is of no use to anybody.
    async fn connect(&self, dir: &Path, process: &ProcessIdentity, pidfd: Arc<PidFd>) -> Result<Arc<Shim>, String> {
        let connected = async {
            let socket = socket::connect(dir).await.map_err(|error| error.to_string())?;
            let connection = Connection::open(socket).await.map_err(|error| error.to_string())?;
            Ok::<_, String>(Shim::start(dir.to_owned(), process.clone(), pidfd.clone(), connection))
        };
        let reason = match tokio::time::timeout(HELLO, connected).await {
            Ok(Ok(shim)) => return Ok(shim),
            Ok(Err(reason)) => reason,
            Err(_) => "it does not answer".into(),
        };
        end(&pidfd).await;
        Err(format!("its shim could not be reached: {reason}"))
    }
}

// One that does not even end by SIGKILL (an uninterruptible wait) keeps nobody waiting; clean-up goes on with it.
async fn end(pidfd: &PidFd) {
    let _ = rustix::process::pidfd_send_signal(pidfd, rustix::process::Signal::KILL);
    if tokio::time::timeout(KILLED, pidfd.ended()).await.is_err() {
        tracing::error!("a shim was killed and does not end");
    }
}

/// Name of a shim's own log in its pod's directory.
const SHIM_LOG: &str = "shim.log";

fn config_fd(config: &ShimConfig) -> io::Result<OwnedFd> {
    let mut file = File::from(memfd_create("config", MemfdFlags::CLOEXEC)?);
    file.write_all(&config.encode().map_err(io::Error::other)?)?;
    file.rewind()?;
    Ok(file.into())
}

fn last_lines(dir: &Path) -> String {
    let log = std::fs::read_to_string(dir.join(SHIM_LOG)).unwrap_or_default();
    log.lines().rev().take(3).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("; ")
}
