//! What lies in the directory: names, and marks by which a changed file is known without reading it.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A change within this time after another one may have left the same time stamps: the kernel's clock for them ticks
/// every few milliseconds.
const TICK: Duration = Duration::from_millis(100);

/// What differs when a file differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    inode: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    links: u64,
    symlink: bool,
}

impl Stamp {
    fn of(path: &Path) -> io::Result<Self> {
        let link = std::fs::symlink_metadata(path)?;
        let symlink = link.is_symlink();
        let file = if symlink { std::fs::metadata(path)? } else { link };
        Ok(Stamp::new(&file, symlink))
    }

    fn new(file: &Metadata, symlink: bool) -> Self {
        Stamp {
            inode: (file.dev(), file.ino()),
            size: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
            links: file.nlink(),
            symlink,
        }
    }

    /// Whether the file was so long unchanged at `now` that any later change shows.
    pub fn is_settled(&self, now: SystemTime) -> bool {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let whole = u64::try_from(self.changed.0).unwrap_or(0);
        let changed = Duration::new(whole, u32::try_from(self.changed.1).unwrap_or(0));
        now.checked_sub(changed).is_some_and(|age| age > TICK)
    }

    /// Whether this may be a file that was made and has not been written yet. A link to a file was complete before.
    pub fn may_be_new(&self) -> bool {
        self.size == 0 && self.links == 1 && !self.symlink
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.size == 0
    }
}

/// The names in a directory at one moment.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Listing {
    /// Files of objects; without a stamp where one cannot be had (a link to nothing).
    pub yaml: BTreeMap<String, Option<Stamp>>,
    /// Other names, in order.
    pub ignored: Vec<String>,
}

impl Listing {
    /// Lists a directory.
    pub fn of(directory: &Path) -> io::Result<Self> {
        let mut listing = Listing::default();
        for entry in std::fs::read_dir(directory)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            match is_object_file(&name) {
                true => {
                    let stamp = Stamp::of(&directory.join(&name)).ok();
                    listing.yaml.insert(name, stamp);
                }
                false => listing.ignored.push(name),
            }
        }
        listing.ignored.sort();
        Ok(listing)
    }
}

/// Whether a file of this name holds objects.
pub(crate) fn is_object_file(name: &str) -> bool {
    name.ends_with(".yaml") && !name.starts_with('.')
}
