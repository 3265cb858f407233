//! The holder: a process of its own that does nothing but keep the owner's netlink socket open.
//!
//! The kernel ends a table's ownership with its socket. The daemon starts the holder with two descriptors, a listening
//! unix socket as stdin and the netlink socket as stdout (so nothing unsafe is needed to inherit them). Whoever
//! connects, being the same user, gets a copy of the netlink socket (SCM_RIGHTS) together with the holder's process id.
//! One byte `Q` ends it. While a daemon runs it keeps its connection: its end means that the holder died, and a new one
//! is started at once.

mod serve;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub use serve::{SOCKET, holder_main};

use crate::socket::Socket;

/// How long a holder may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// Pause after a holder could not be started (no memory, no processes left).
const RETRY: Duration = Duration::from_secs(1);

/// How a holder is started, and where it is found.
#[derive(Debug, Clone)]
pub struct HolderCommand {
    /// The program: the daemon's own binary.
    pub program: PathBuf,
    /// Its arguments, which lead to [`holder_main`].
    pub args: Vec<OsString>,
    /// STATE: its socket is `STATE/nft-holder.sock`.
    pub state: PathBuf,
}

/// A connection to a holder, and its process id.
pub(crate) struct Connection {
    stream: UnixStream,
    pid: u32,
}

/// The holder of a running daemon, replaced when it dies.
pub(crate) struct Holder {
    shared: Arc<Shared>,
}

struct Shared {
    command: HolderCommand,
    netlink: OwnedFd,
    pid: AtomicU32,
    ending: AtomicBool,
    stream: Mutex<Option<UnixStream>>,
}

impl Holder {
    /// The netlink socket of a running holder; `None` if there is none.
    pub(crate) fn take(command: &HolderCommand) -> io::Result<Option<(OwnedFd, Connection)>> {
        let stream = match connect(command) {
            Ok(stream) => stream,
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                return Ok(None);
            }
            Err(e) => return Err(e),
        };
        let (netlink, pid) = serve::receive(&stream)?;
        Ok(Some((netlink, Connection { stream, pid })))
    }

    /// Keeps a holder alive from now on: the one of `link`, or a new one.
    pub(crate) fn supervise(command: HolderCommand, socket: &Socket, link: Option<Connection>) -> io::Result<Self> {
        let netlink = socket.as_fd().try_clone_to_owned()?;
        let shared = Arc::new(Shared {
            command,
            netlink,
            pid: AtomicU32::new(0),
            ending: AtomicBool::new(false),
            stream: Mutex::new(None),
        });
        let (link, child) = match link {
            Some(link) => (link, None),
            None => shared.start()?,
        };
        shared.remember(&link)?;
        let watched = shared.clone();
        std::thread::Builder::new().name("nft-holder".into()).spawn(move || watched.watch(link, child))?;
        Ok(Holder { shared })
    }

    /// Its process id; `None` while it could not be started.
    pub(crate) fn pid(&self) -> Option<u32> {
        Some(self.shared.pid.load(Ordering::Acquire)).filter(|pid| *pid != 0)
    }

    /// Ends it for good.
    pub(crate) fn end(&self) {
        self.shared.ending.store(true, Ordering::Release);
        let stream = self.shared.stream.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(mut stream) = stream
            && let Err(error) = stream.write_all(b"Q")
        {
            tracing::warn!(%error, "the holder of the nftables socket did not take the order to end");
        }
        if let Err(error) = serve::unbind(&self.shared.command.state) {
            tracing::warn!(%error, "the holder's socket stays");
        }
    }
}

fn connect(command: &HolderCommand) -> io::Result<UnixStream> {
    let (_dir, path) = serve::short_path(&command.state)?;
    let stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(ANSWER))?;
    Ok(stream)
}

impl Shared {
    fn remember(&self, link: &Connection) -> io::Result<()> {
        let stream = link.stream.try_clone()?;
        *self.stream.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(stream);
        self.pid.store(link.pid, Ordering::Release);
        Ok(())
    }

    /// Starts a holder. Its socket is bound here, so that it is there before this returns.
    fn start(&self) -> io::Result<(Connection, Option<Child>)> {
        let listener = serve::bind(&self.command.state)?;
        let child = Command::new(&self.command.program)
            .args(&self.command.args)
            .stdin(Stdio::from(OwnedFd::from(listener)))
            .stdout(Stdio::from(self.netlink.try_clone()?))
            .stderr(Stdio::null())
            .current_dir("/")
            .spawn()?;
        let stream = connect(&self.command)?;
        let (_netlink, pid) = serve::receive(&stream)?;
        Ok((Connection { stream, pid }, Some(child)))
    }

    /// Waits for the holder's end and starts another, until told to stop.
    fn watch(&self, mut link: Connection, mut child: Option<Child>) {
        loop {
            let _ = serve::wait_for_end(&link.stream);
            if let Some(mut child) = child.take() {
                let _ = child.wait();
            }
            if self.ending.load(Ordering::Acquire) {
                return;
            }
            tracing::warn!(pid = link.pid, "the holder of the nftables socket died, starting another");
            self.pid.store(0, Ordering::Release);
            match self.restart() {
                Some(started) => (link, child) = started,
                None => return,
            }
        }
    }

    /// Tries until a holder runs; `None` when the daemon ends.
    fn restart(&self) -> Option<(Connection, Option<Child>)> {
        while !self.ending.load(Ordering::Acquire) {
            match self.start().and_then(|(link, child)| self.remember(&link).map(|()| (link, child))) {
                Ok(started) => return Some(started),
                Err(error) => {
                    tracing::error!(%error, "no holder for the nftables socket: the table would lose its owner with the daemon; trying again")
                }
            }
            std::thread::sleep(RETRY);
        }
        None
    }
}
