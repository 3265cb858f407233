//! Debian's docker-registry on 127.0.0.1 of a network namespace, for as long as a test holds it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A running registry; dropping it ends it.
#[derive(Debug)]
pub struct Registry {
    child: Child,
    addr: String,
    config: PathBuf,
}

/// The port where a namespace of its own leaves the choice.
const PORT: u16 = 5000;

impl Registry {
    /// Serves the storage directory `dir` over plain HTTP, on port 5000 of the network namespace at `netns` or on a
    /// free port of this one. Returns when it answers.
    pub fn start(netns: Option<&Path>, dir: &Path) -> Result<Self> {
        let port = match netns {
            Some(_) => PORT,
            None => TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port(),
        };
        Self::start_at(netns, dir, port)
    }

    /// The same on a given port.
    pub fn start_at(netns: Option<&Path>, dir: &Path, port: u16) -> Result<Self> {
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let name = format!("cofferdam-registry-{}-{}.yml", std::process::id(), unique());
        let config = std::env::temp_dir().join(name);
        fs::write(&config, configuration(dir, addr))?;
        let mut command = dies_with_parent();
        if let Some(netns) = netns {
            command.arg("nsenter").arg(format!("--net={}", netns.display()));
        }
        command
            .args(["docker-registry", "serve"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = command.spawn().context("start docker-registry (tests/setup/apt.sh run installs it)")?;
        let mut registry = Self { child, addr: addr.to_string(), config };
        registry.wait_ready(netns, addr)?;
        Ok(registry)
    }

    /// `127.0.0.1:port`, in its network namespace.
    pub fn addr(&self) -> &str {
        &self.addr
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn wait_ready(&mut self, netns: Option<&Path>, addr: SocketAddr) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(180);
        while !answers(netns, addr)? {
            if let Some(status) = self.child.try_wait()? {
                bail!("docker-registry ended: {status}");
            }
            if Instant::now() > deadline {
                bail!("docker-registry does not answer on {addr}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.config);
    }
}

/// A command whose process is killed when the thread that starts it ends, so that a killed test leaves nothing. Add the
/// program as an argument.
pub fn dies_with_parent() -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]);
    command
}

/// Whether something listens at `addr` in the namespace. Only a thread enters it, and ends there.
fn answers(netns: Option<&Path>, addr: SocketAddr) -> Result<bool> {
    let netns = netns.map(fs::File::open).transpose().context("open the network namespace")?;
    let thread = std::thread::spawn(move || -> Result<bool> {
        if let Some(netns) = netns {
            move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network))
                .context("enter the network namespace")?;
        }
        Ok(TcpStream::connect_timeout(&addr, Duration::from_secs(1)).is_ok())
    });
    thread.join().map_err(|_| anyhow::anyhow!("the probe panicked"))?
}

fn configuration(dir: &Path, addr: SocketAddr) -> String {
    format!(
        "version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\n  maintenance: {{uploadpurging: {{enabled: false}}}}\nhttp: {{addr: '{addr}'}}\n",
        dir.display()
    )
}

fn unique() -> u32 {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
