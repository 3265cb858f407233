//! Where trees wait for their end: they go there by a rename, and a thread removes them.

use std::collections::HashMap;
use std::ffi::CString;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};

use crate::bin::{Bin, TRIES, Turn};
use crate::entries::Buffer;
use crate::remove::split;

/// Between two tries of what has failed.
const PAUSE: Duration = Duration::from_secs(1);

/// A directory of things to remove, on the file system that they are on. What a daemon has not come to, the next one
/// removes.
pub struct Trash {
    path: PathBuf,
    open: Mutex<Option<Open>>,
}

struct Open {
    bin: Arc<Bin>,
    wake: Sender<()>,
}

impl Trash {
    /// Nothing is made, and nothing is removed, until it is used or [`Trash::empty`] is called.
    pub fn new(path: PathBuf) -> Self {
        Trash { path, open: Mutex::default() }
    }

    /// Moves a tree or file here; from then on its name is free. Absent, it is a success.
    ///
    /// # Errors
    /// The file system refuses the rename.
    pub fn discard(&self, path: &Path) -> io::Result<()> {
        let (parent, name) = match split(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        self.with(|open| {
            if open.bin.take(parent.as_fd(), &name)? {
                // The thread ends with this value only.
                let _ = open.wake.send(());
            }
            Ok(())
        })
    }

    /// Removes, in the background, what is here from before.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn empty(&self) -> io::Result<()> {
        match self.path.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            _ => self.with(|_| Ok(())),
        }
    }

    fn with(&self, work: impl FnOnce(&Open) -> io::Result<()>) -> io::Result<()> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.is_none() {
            *open = Some(self.start()?);
        }
        open.as_ref().map_or(Ok(()), work)
    }

    fn start(&self) -> io::Result<Open> {
        match rustix::fs::mkdir(&self.path, Mode::RWXU) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let bin = Arc::new(Bin::new(rustix::fs::open(&self.path, flags, Mode::empty())?));
        let (wake, woken) = channel();
        let (worker, path) = (bin.clone(), self.path.clone());
        std::thread::Builder::new().name("trash".into()).spawn(move || run(&worker, &path, &woken))?;
        Ok(Open { bin, wake })
    }
}

fn run(bin: &Bin, path: &Path, woken: &Receiver<()>) {
    if let Err(error) = bin.adopt() {
        tracing::warn!(path = %path.display(), %error, "what an earlier daemon has not removed stays");
    }
    let mut buffer = Buffer::new();
    loop {
        let mut failed: HashMap<CString, io::Error> = HashMap::new();
        for round in 1..=TRIES {
            failed = drain(bin, &mut buffer);
            if failed.is_empty() || round == TRIES {
                break;
            }
            std::thread::sleep(PAUSE);
            failed.keys().for_each(|name| bin.again(name));
        }
        for (name, error) in &failed {
            tracing::warn!(path = %path.display(), ?name, %error, "cannot be removed: it stays until the next start");
        }
        if woken.recv().is_err() {
            return;
        }
    }
}

/// Removes all that can be; what cannot, by its name.
fn drain(bin: &Bin, buffer: &mut Buffer) -> HashMap<CString, io::Error> {
    let mut failed = HashMap::new();
    loop {
        match bin.turn(buffer) {
            Turn::Empty => return failed,
            Turn::Done => {}
            // A hostile tree cannot fill the memory with its failures either.
            Turn::Failed(name, error) if failed.len() < 1000 => drop(failed.insert(name, error)),
            Turn::Failed(..) => {}
        }
    }
}
