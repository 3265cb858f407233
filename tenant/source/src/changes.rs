//! What inotify tells about the directory: that something changed, and which files somebody is still writing.
//!
//! The kernel queues an event before the call that caused it returns. So whoever reads the queue, then a file, then the
//! queue again knows whether the file was touched in between.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init, remove_watch};
use rustix::io::Errno;

use crate::listing::{Stamp, is_object_file};

/// Room for a few hundred events.
const BUFFER: usize = 16 * 1024;

/// What a watched inode is to us.
enum Place {
    /// The directory itself.
    Directory,
    /// A directory above; only this name in it matters.
    Above(OsString),
}

/// How far the writing of a file is known to be.
#[derive(Clone, Copy, PartialEq)]
enum Writing {
    /// It was made, perhaps to be written.
    Made,
    /// It was changed, and not closed since.
    Changed,
}

/// The watches of a directory and of all directories above it.
pub(crate) struct Changes {
    inotify: OwnedFd,
    directory: PathBuf,
    watched: HashMap<i32, Place>,
    writing: HashMap<String, Writing>,
}

impl Changes {
    /// Watches from now on, whether the directory exists or not.
    ///
    /// # Errors
    /// inotify cannot be used.
    pub fn new(directory: &Path) -> io::Result<Self> {
        let inotify = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let directory = std::path::absolute(directory)?;
        let mut changes = Changes { inotify, directory, watched: HashMap::new(), writing: HashMap::new() };
        changes.follow()?;
        Ok(changes)
    }

    /// Watches what has these names now: a directory that was removed and made again is another one.
    ///
    /// # Errors
    /// The directory is there and cannot be watched.
    pub fn follow(&mut self) -> io::Result<()> {
        let mut now = HashMap::new();
        // From above: what appears after the look at a directory is an event of that directory.
        let mut above: Vec<&Path> = self.directory.ancestors().collect();
        above.reverse();
        for pair in above.windows(2) {
            let Some(name) = pair[1].file_name() else { continue };
            let flags = WatchFlags::CREATE | WatchFlags::MOVE | WatchFlags::DELETE | WatchFlags::ONLYDIR;
            // One that is missing will be an event of the one above it; one that may not be read is nobody's to move.
            if let Ok(wd) = add_watch(&self.inotify, pair[0], flags) {
                now.insert(wd, Place::Above(name.to_owned()));
            }
        }
        let flags = WatchFlags::CREATE
            | WatchFlags::MODIFY
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::MOVE
            | WatchFlags::DELETE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        match add_watch(&self.inotify, &self.directory, flags) {
            Ok(wd) => _ = now.insert(wd, Place::Directory),
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            Err(error) => return Err(error.into()),
        }
        let same = |wd: &i32| matches!(self.watched.get(wd), Some(Place::Directory));
        if !now.iter().any(|(wd, place)| matches!(place, Place::Directory) && same(wd)) {
            self.writing.clear();
        }
        for wd in self.watched.keys().filter(|wd| !now.contains_key(wd)) {
            // The kernel has dropped the watch of what is gone already.
            let _ = remove_watch(&self.inotify, *wd);
        }
        self.watched = now;
        Ok(())
    }

    /// Takes what has happened so far. Whether the directory, or a file in it that nobody is writing, changed.
    ///
    /// # Errors
    /// The queue cannot be read.
    pub fn drain(&mut self) -> io::Result<bool> {
        let mut buffer = [MaybeUninit::uninit(); BUFFER];
        let mut reader = Reader::new(self.inotify.as_fd(), &mut buffer);
        let mut changed = false;
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::AGAIN) => return Ok(changed),
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
                self.writing.clear();
                changed = true;
                continue;
            }
            let name = event.file_name().map(|name| name.to_string_lossy().into_owned());
            changed |= match self.watched.get(&event.wd()) {
                Some(Place::Directory) => note(&mut self.writing, event.events(), name),
                Some(Place::Above(ours)) => name.is_some_and(|name| *ours == *name),
                None => false,
            };
        }
    }

    /// Whether somebody has begun to write this file and has not closed it yet.
    pub fn is_being_written(&self, name: &str, stamp: &Stamp) -> bool {
        match self.writing.get(name) {
            Some(Writing::Changed) => true,
            Some(Writing::Made) => stamp.may_be_new(),
            None => false,
        }
    }
}

impl AsFd for Changes {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

/// Takes an event of the directory. A write is none before the file is closed.
fn note(writing: &mut HashMap<String, Writing>, events: ReadFlags, name: Option<String>) -> bool {
    let Some(name) = name else { return true };
    if !is_object_file(&name) {
        return !events.contains(ReadFlags::MODIFY);
    }
    if events.contains(ReadFlags::MODIFY) {
        writing.insert(name, Writing::Changed);
        return false;
    }
    match events.contains(ReadFlags::CREATE) {
        true => _ = writing.insert(name, Writing::Made),
        false => _ = writing.remove(&name),
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_burst_elsewhere_in_the_parent_directory_is_no_change() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("cluster.d");
        fs::create_dir(&directory).unwrap();
        let mut changes = Changes::new(&directory).unwrap();
        for round in 0..500 {
            let other = root.path().join(format!("other-{round}"));
            fs::write(&other, "x").unwrap();
            fs::rename(&other, root.path().join("moved")).unwrap();
        }
        fs::remove_file(root.path().join("moved")).unwrap();
        assert!(!changes.drain().unwrap());
        fs::rename(&directory, root.path().join("away")).unwrap();
        assert!(changes.drain().unwrap());
        changes.follow().unwrap();
        fs::write(root.path().join("away/a.yaml"), "x").unwrap();
        assert!(!changes.drain().unwrap(), "what was moved away is no longer ours");
        fs::create_dir(&directory).unwrap();
        assert!(changes.drain().unwrap());
    }

    #[test]
    fn a_file_is_written_from_its_first_change_until_it_is_closed() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a.yaml");
        let mut changes = Changes::new(root.path()).unwrap();
        let written = |changes: &mut Changes| {
            let changed = changes.drain().unwrap();
            let listing = crate::listing::Listing::of(root.path()).unwrap();
            (changed, changes.is_being_written("a.yaml", &listing.yaml["a.yaml"].unwrap()))
        };
        let file = fs::File::create(&path).unwrap();
        assert_eq!(written(&mut changes), (true, true));
        std::io::Write::write_all(&mut &file, b"x").unwrap();
        assert_eq!(written(&mut changes), (false, true));
        drop(file);
        assert_eq!(written(&mut changes), (true, false));
        let file = fs::File::create(&path).unwrap();
        assert_eq!(written(&mut changes), (false, true));
        drop(file);
        assert_eq!(written(&mut changes), (true, false));
    }
}
