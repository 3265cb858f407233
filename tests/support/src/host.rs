//! A host network namespace for one daemon, with the rest of the world in a second one.
//!
//! ```text
//!   host: lo, uplink 192.0.2.2, 2001:db8:2::2  ----veth----  outside: peer 192.0.2.1, 2001:db8:2::1, lo 198.51.100.10, 2001:db8:100::10
//! ```
//! The host's default routes lead outside. Outside has no route to any pod, as in the real world.

use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, anyhow};
use rustix::mount::{UnmountFlags, unmount};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::run::{Output, output_of, run};

/// The host's address towards outside.
pub const UPLINK_V4: &str = "192.0.2.2";
/// The same for IPv6.
pub const UPLINK_V6: &str = "2001:db8:2::2";
/// An address outside the cluster that answers.
pub const OUTSIDE_V4: &str = "198.51.100.10";
/// The same for IPv6.
pub const OUTSIDE_V6: &str = "2001:db8:100::10";

/// A network namespace held by a mount. Dropping it removes the mount.
#[derive(Debug)]
pub struct Netns {
    path: PathBuf,
    inode: u64,
}

impl Netns {
    /// A new namespace, held at `path`, with `lo` up.
    pub fn create(path: &Path) -> Result<Self> {
        File::create(path).with_context(|| path.display().to_string())?;
        run("unshare", [format!("--net={}", path.display()), "true".to_owned()])?;
        let netns = Self { path: path.to_owned(), inode: fs::metadata(path)?.ino() };
        netns.ip("link set lo up")?;
        Ok(netns)
    }

    /// What `nsenter --net=` takes.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its number in `net:[...]`.
    pub fn inode(&self) -> u64 {
        self.inode
    }

    /// `nsenter --net=PATH`; add the program as an argument.
    pub fn command(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(self.argument());
        command
    }

    /// Runs a program inside, to its end.
    pub fn output(&self, program: &str, args: &[&str]) -> Result<Output> {
        let mut all = vec![self.argument(), program.to_owned()];
        all.extend(args.iter().map(|arg| (*arg).to_owned()));
        output_of("nsenter", all)
    }

    /// `ip` with these arguments, split at blanks.
    pub fn ip(&self, args: &str) -> Result<String> {
        self.output("ip", &args.split(' ').collect::<Vec<_>>())?.ok().with_context(|| format!("ip {args}"))
    }

    /// `nft` with these arguments.
    pub fn nft(&self, args: &[&str]) -> Result<String> {
        self.output("nft", args)?.ok()
    }

    /// Runs a closure on a thread inside the namespace. The thread ends with it; sockets that it returns stay inside.
    pub fn enter<T: Send>(&self, action: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let file = File::open(&self.path).with_context(|| self.path.display().to_string())?;
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
                    .context("enter the network namespace")?;
                action()
            });
            thread.join().map_err(|_| anyhow!("a thread in the network namespace panicked"))?
        })
    }

    /// The names of its interfaces.
    pub fn links(&self) -> Result<Vec<String>> {
        let text = self.enter(|| Ok(fs::read_to_string("/proc/thread-self/net/dev")?))?;
        Ok(text.lines().skip(2).filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned())).collect())
    }

    fn argument(&self) -> String {
        format!("--net={}", self.path.display())
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        let _ = unmount(&self.path, UnmountFlags::DETACH);
        let _ = fs::remove_file(&self.path);
    }
}

/// The host of a daemon, and outside.
#[derive(Debug)]
pub struct Host {
    /// Where the daemon, its registry and its pods' host ends are.
    pub host: Netns,
    /// The rest of the world.
    pub outside: Netns,
}

impl Host {
    /// Both namespaces, held by files in `dir`.
    pub fn create(dir: &Path) -> Result<Self> {
        let host = Netns::create(&dir.join("host"))?;
        let outside = Netns::create(&dir.join("outside"))?;
        host.ip("link add uplink type veth peer name peer")?;
        host.ip(&format!("link set peer netns {}", outside.path().display()))?;
        for (netns, link, addresses) in [
            (&host, "uplink", ["192.0.2.2/24", "2001:db8:2::2/64"]),
            (&outside, "peer", ["192.0.2.1/24", "2001:db8:2::1/64"]),
            (&outside, "lo", ["198.51.100.10/32", "2001:db8:100::10/128"]),
        ] {
            netns.ip(&format!("address add {} dev {link}", addresses[0]))?;
            netns.ip(&format!("address add {} dev {link} nodad", addresses[1]))?;
            netns.ip(&format!("link set {link} up"))?;
        }
        host.ip("route add default via 192.0.2.1")?;
        host.ip("-6 route add default via 2001:db8:2::1")?;
        Ok(Self { host, outside })
    }
}
