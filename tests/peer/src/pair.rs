//! Both runtimes and their registries, started for one family of cases.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use cofferdam_test_support::{Containerd, Daemon};

use crate::cri::Client;
use crate::registry::{PORT, Server, Store};
use crate::side::{Side, Who};

/// Cofferdam and containerd, each on a host of its own. Dropping it ends both and removes what they left.
#[derive(Debug)]
pub struct Pair {
    /// Cofferdam.
    pub ours: Side,
    /// containerd.
    pub theirs: Side,
    // In the order in which they have to end.
    _registries: [Server; 2],
    _daemon: Daemon,
    _containerd: Containerd,
}

impl Pair {
    /// Starts both. `name` goes into the names of directories and cgroups; both registries serve `store`.
    pub async fn start(name: &str, store: Store) -> Result<Self> {
        let store = Arc::new(store);
        // No handler `vm`, whether or not the machine has an image for it: the peer has none.
        let no_image = "[vm]\nimage_dir = \"/nonexistent\"\n";
        let daemon = Daemon::builder(&format!("peer-{name}")).config(no_image).prepare()?;
        trust(daemon.dir())?;
        let daemon = started(daemon)?;
        let containerd = Containerd::pinned(&format!("peer-{name}"))?;
        trust(containerd.dir())?;
        let (our_host, their_host) = (&daemon.host().host, &containerd.host().host);
        let registries = [Server::start(our_host, &store)?, Server::start(their_host, &store)?];
        let ours = Client::connect(&daemon.socket()).await?;
        let theirs = Client::connect(&containerd.socket()).await?;
        Ok(Self {
            ours: Side::of(Who::Ours, ours, our_host, daemon.cgroup_root(), daemon.dir(), "namespace"),
            theirs: Side::of(Who::Theirs, theirs, their_host, containerd.cgroup_root(), containerd.dir(), ""),
            _registries: registries,
            _daemon: daemon,
            _containerd: containerd,
        })
    }
}

fn started(mut daemon: Daemon) -> Result<Daemon> {
    daemon.start()?;
    Ok(daemon)
}

/// The registry speaks plain HTTP.
fn trust(dir: &Path) -> Result<()> {
    let dir = dir.join(format!("certs.d/127.0.0.1:{PORT}"));
    fs::create_dir_all(&dir)?;
    let url = format!("http://127.0.0.1:{PORT}");
    let hosts = format!("server = \"{url}\"\n\n[host.\"{url}\"]\ncapabilities = [\"pull\", \"resolve\"]\n");
    fs::write(dir.join("hosts.toml"), hosts).with_context(|| dir.display().to_string())
}
