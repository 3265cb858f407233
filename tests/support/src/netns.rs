//! Network namespaces.

use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use anyhow::{Context as _, Result, anyhow};
use nix::sched::{CloneFlags, unshare};
use rustix::mount::{UnmountFlags, unmount};
use rustix::thread::{LinkNameSpaceType, gettid, move_into_link_name_space};

use crate::run::{Output, output_of, run};

/// A network namespace with `lo` up, which ends with this value.
#[derive(Debug)]
pub struct Netns {
    path: PathBuf,
    inode: u64,
    held: Held,
}

#[derive(Debug)]
enum Held {
    /// A mount at the path: it can be entered by a path of the test's choice.
    Mount,
    /// A thread that waits for the other end of a channel to be dropped: nothing stays when the test is killed.
    Thread(Option<(Sender<()>, JoinHandle<()>)>),
}

impl Netns {
    /// A new namespace, held by a thread.
    pub fn new() -> Result<Self> {
        let (end, wait) = channel::<()>();
        let (ready, made) = channel();
        let thread = std::thread::spawn(move || {
            let made = unshare(CloneFlags::CLONE_NEWNET).map(|()| gettid());
            // Nobody listens when the test has given up.
            let _ = ready.send(made);
            let _ = wait.recv();
        });
        let tid = made.recv()?.context("unshare the network")?;
        let path = PathBuf::from(format!("/proc/{}/task/{tid}/ns/net", std::process::id()));
        Self::held(path, Held::Thread(Some((end, thread))))
    }

    /// A new namespace, held by a mount at `path`.
    pub fn create(path: &Path) -> Result<Self> {
        File::create(path).with_context(|| path.display().to_string())?;
        run("unshare", [format!("--net={}", path.display()), "true".to_owned()])?;
        Self::held(path.to_owned(), Held::Mount)
    }

    fn held(path: PathBuf, held: Held) -> Result<Self> {
        let netns = Self { inode: fs::metadata(&path)?.ino(), path, held };
        netns.ip("link set lo up")?;
        Ok(netns)
    }

    /// What `nsenter --net=` and `ip link set ... netns` take.
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

    /// A shell script that has to succeed; its standard output.
    pub fn shell(&self, script: &str) -> Result<String> {
        self.output("sh", &["-ec", script])?.ok()
    }

    /// `ip` with these arguments, split at blanks.
    pub fn ip(&self, args: &str) -> Result<String> {
        self.output("ip", &args.split(' ').collect::<Vec<_>>())?.ok().with_context(|| format!("ip {args}"))
    }

    /// `nft` with these arguments.
    pub fn nft(&self, args: &[&str]) -> Result<String> {
        self.output("nft", args)?.ok()
    }

    /// Sets `/proc/sys/net/NAME`.
    pub fn sysctl(&self, name: &str, value: &str) -> Result<()> {
        self.enter(|| fs::write(format!("/proc/sys/net/{name}"), value).with_context(|| format!("{name}={value}")))
    }

    /// Runs a closure on a thread inside the namespace. The thread ends with it; sockets that it returns stay inside,
    /// and threads and processes that it starts.
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

    /// [`Netns::enter`] for what panics when it fails.
    ///
    /// # Panics
    /// When the action does, or the namespace is not to be entered.
    pub fn run<T: Send>(&self, action: impl FnOnce() -> T + Send) -> T {
        self.enter(|| Ok(action())).unwrap_or_else(|error| panic!("{error:#}"))
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
        match &mut self.held {
            Held::Mount => {
                let _ = unmount(&self.path, UnmountFlags::DETACH);
                let _ = fs::remove_file(&self.path);
            }
            Held::Thread(holder) => {
                let ended = holder.take().map(|(end, thread)| {
                    drop(end);
                    thread.join()
                });
                drop(ended);
            }
        }
    }
}
