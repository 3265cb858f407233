//! A directory as a snapshot. Of a file that is broken or being written, the last good version counts; a directory that
//! is gone, or changes faster than it can be read, counts as it was last.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use cofferdam_tenant_cluster::Unread;

use crate::changes::Changes;
use crate::config::SourceConfig;
use crate::document::FileError;
use crate::kept;
use crate::kinds::ObjectKinds;
use crate::listing::{Listing, Stamp};
use crate::merge::{Part, merge};
use crate::object::{Located, ObjectKey};
use crate::parse::parse;

/// How often a directory that changes while it is read is read again at once.
const TRIES: usize = 5;
/// How long the objects of a file that has gone count on: editors rename the old file away before they write the new.
pub(crate) const GRACE: Duration = Duration::from_millis(250);

/// When the objects of files that have gone are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Removals {
    /// After [`GRACE`].
    Held,
    /// Now: somebody said that they are to go.
    Meant,
}

/// A file as it was last read.
struct File<X> {
    stamp: Option<Stamp>,
    /// Whether any change after the last read shows in the stamp.
    settled: bool,
    /// The last version without errors, and its objects.
    good: Option<(String, Vec<Located<X>>)>,
    /// What is wrong with its present version.
    error: Option<FileError>,
    /// Whether its present version may hold what was never read; `true`: somebody is still writing it.
    unread: Option<bool>,
    /// Since when it has not been in the directory.
    gone: Option<Instant>,
}

/// What a look at a file gave.
enum Look {
    Text(String),
    Failed(io::Error),
    Writing,
    Emptied,
}

/// Reads the directory again and again; a file that did not change is not read again.
pub struct Loader<K: ObjectKinds> {
    directory: PathBuf,
    config: SourceConfig,
    files: BTreeMap<String, File<K::Object>>,
    owners: BTreeMap<ObjectKey, String>,
    ignored: Vec<String>,
    /// Whether there ever was a snapshot without errors.
    ever_good: bool,
    /// Where the last good state is kept.
    kept: Option<PathBuf>,
    /// Whether that differs from what is kept.
    unkept: bool,
    /// What is wrong with the directory itself.
    trouble: Option<Trouble>,
}

struct Trouble {
    reason: String,
    /// Whether it may hold what was never read, and whether that passes by itself.
    unread: Option<bool>,
}

impl<K: ObjectKinds> Loader<K> {
    /// A loader that has read nothing yet.
    pub fn new(directory: impl Into<PathBuf>, config: SourceConfig) -> Self {
        Loader {
            directory: directory.into(),
            config,
            files: BTreeMap::new(),
            owners: BTreeMap::new(),
            ignored: Vec::new(),
            ever_good: false,
            kept: None,
            unkept: false,
            trouble: None,
        }
    }

    /// Keeps the last good state at `path`, and begins with what is kept there.
    pub fn keep(mut self, path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let state = kept::read(&path, &self.directory).unwrap_or_else(|error| {
            tracing::error!(path = %path.display(), %error, "the cluster objects of before the start are lost");
            None
        });
        self.kept = Some(path);
        self.unkept = state.is_none();
        let Some(state) = state else { return self };
        self.ever_good = true;
        for (name, text) in state.files {
            let shown = self.directory.join(&name).display().to_string();
            match parse::<K>(&shown, &text) {
                Ok(objects) => {
                    self.files.insert(name, File { good: Some((text, objects)), ..File::empty() });
                }
                Err(error) => {
                    // A part of what was in force is no state that anybody wrote: better none, and no traffic.
                    tracing::error!(%error, "a file that was good before the start cannot be read any more");
                    self.ever_good = false;
                }
            }
        }
        self
    }

    /// Another configuration from the next load on.
    pub fn set_config(&mut self, config: SourceConfig) {
        self.config = config;
    }

    /// The directory as it is now.
    pub fn load(&mut self) -> K::Snapshot {
        self.load_with(None, Removals::Meant)
    }

    /// Whether a later load will differ without an event: a file that has gone is still held, or the directory did not
    /// hold still.
    pub(crate) fn is_pending(&self) -> bool {
        let unsteady = self.trouble.as_ref().is_some_and(|t| t.unread == Some(true));
        unsteady || self.files.values().any(|file| file.gone.is_some())
    }

    /// The directory as it is now, less what the events say is not finished.
    pub(crate) fn load_with(&mut self, changes: Option<&mut Changes>, removals: Removals) -> K::Snapshot {
        self.trouble = self.read(changes, removals).err();
        let mut facts = self.config.facts();
        facts.complete = true;
        facts.ignored_files.clone_from(&self.ignored);
        let at = |file: String, line, reason| FileError { file, line, reason };
        let mut errors: Vec<FileError> = Vec::new();
        errors.extend(self.trouble.iter().map(|t| at(self.directory.display().to_string(), 0, t.reason.clone())));
        errors.extend(self.files.values().filter_map(|f| f.error.clone()));
        let mut further = Vec::new();
        let parts: Vec<Part<'_, K::Object>> = self.files.iter().map(|(name, file)| file.part(name)).collect();
        let wrong = merge(&parts, &mut self.owners, &self.config, &mut facts, &mut further);
        errors.extend(wrong.into_iter().map(|(n, line, r)| at(self.directory.join(n).display().to_string(), line, r)));
        match errors.first() {
            None => self.ever_good = true,
            Some(first) if !self.ever_good => facts.blocked = Some(first.to_string()),
            Some(_) => {}
        }
        facts.unread = self.unread();
        // With nothing good so far the whole is blocked, and says so itself.
        let instead = if self.ever_good { " (what was good before is in force)" } else { "" };
        facts.warnings = errors.iter().map(|e| format!("{e}{instead}")).collect();
        self.remember();
        K::snapshot(facts, further)
    }

    /// What may hold a namespace that nobody has read yet.
    fn unread(&self) -> Option<Unread> {
        let directory = self.trouble.as_ref().and_then(|t| Some((t.reason.clone(), t.unread?)));
        let files = self.files.values().filter(|f| f.gone.is_none());
        let file = files.filter_map(|f| Some((f.error.as_ref()?.to_string(), f.unread?))).max_by_key(|(_, soon)| !soon);
        directory.or(file).map(|(reason, soon)| Unread { reason, soon })
    }

    /// Reads what changed. An error leaves everything as it was.
    fn read(&mut self, mut changes: Option<&mut Changes>, removals: Removals) -> Result<(), Trouble> {
        let failed = |error: io::Error| Trouble { reason: error.to_string(), unread: Some(false) };
        for _ in 0..TRIES {
            let listing = match Listing::of(&self.directory) {
                Ok(listing) => listing,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return self.missing(),
                Err(error) => return Err(failed(error)),
            };
            drain(&mut changes).map_err(failed)?;
            let now = SystemTime::now();
            let mut looks = self.look(&listing);
            // A file that was closed meanwhile may have been read before it was; a name that moved, missed under both.
            if drain(&mut changes).map_err(failed)? {
                continue;
            }
            match Listing::of(&self.directory) {
                Ok(after) if after == listing => {}
                _ => continue,
            }
            if let Some(changes) = &changes {
                for (name, stamp) in &listing.yaml {
                    if stamp.as_ref().is_some_and(|stamp| changes.is_being_written(name, stamp)) {
                        looks.insert(name.clone(), Look::Writing);
                    }
                }
            }
            self.take(listing, looks, now, removals);
            return Ok(());
        }
        Err(Trouble { reason: "changes faster than it can be read".to_owned(), unread: Some(true) })
    }

    /// A directory that does not exist is an empty one, unless it held something before.
    fn missing(&mut self) -> Result<(), Trouble> {
        self.ignored.clear();
        self.files.retain(|_, file| file.good.is_some());
        self.files.values_mut().for_each(File::rest);
        match self.files.is_empty() {
            true => Ok(()),
            false => Err(Trouble { reason: "the directory is gone".to_owned(), unread: None }),
        }
    }

    /// Looks at the files that changed.
    fn look(&self, listing: &Listing) -> BTreeMap<String, Look> {
        let changed = listing.yaml.iter().filter(|(name, stamp)| match self.files.get(*name) {
            Some(file) => stamp.is_none() || file.stamp != **stamp || !file.settled || file.unread == Some(true),
            None => true,
        });
        let look = |(name, stamp): (&String, &Option<Stamp>)| {
            let held =
                self.files.get(name).and_then(|f| f.good.as_ref()).is_some_and(|(_, objects)| !objects.is_empty());
            let look = match std::fs::read_to_string(self.directory.join(name)) {
                // Whoever means to take all objects away removes the file; this is the first half of a rewrite.
                Ok(text) if text.is_empty() && held && stamp.is_none_or(|s| s.is_empty()) => Look::Emptied,
                Ok(text) => Look::Text(text),
                Err(error) => Look::Failed(error),
            };
            (name.clone(), look)
        };
        changed.map(look).collect()
    }

    fn take(&mut self, listing: Listing, looks: BTreeMap<String, Look>, now: SystemTime, removals: Removals) {
        let before = self.files.len();
        let clock = Instant::now();
        self.files.retain(|name, file| {
            if listing.yaml.contains_key(name) {
                file.gone = None;
                return true;
            }
            file.error = None;
            let since = *file.gone.get_or_insert(clock);
            file.good.is_some() && removals == Removals::Held && clock.duration_since(since) < GRACE
        });
        self.unkept |= self.files.len() != before;
        for (name, look) in looks {
            let shown = self.directory.join(&name).display().to_string();
            let file = self.files.entry(name.clone()).or_insert_with(File::empty);
            file.stamp = listing.yaml.get(&name).copied().flatten();
            file.settled = file.stamp.is_some_and(|stamp| stamp.is_settled(now));
            self.unkept |= file.take::<K>(&shown, look);
        }
        self.ignored = listing.ignored;
    }

    /// Writes the last good state down where it changed.
    fn remember(&mut self) {
        let Some(path) = self.kept.as_ref().filter(|_| self.unkept && self.ever_good) else { return };
        let good = self.files.iter().filter_map(|(name, file)| Some((name.clone(), file.good.as_ref()?.0.clone())));
        let state = kept::State { directory: self.directory.clone(), files: good.collect() };
        match kept::write(path, &state) {
            Ok(()) => self.unkept = false,
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "the cluster objects are not kept for the next start");
            }
        }
    }
}

fn drain(changes: &mut Option<&mut Changes>) -> io::Result<bool> {
    changes.as_mut().map_or(Ok(false), |changes| changes.drain())
}

impl<X> File<X> {
    fn empty() -> Self {
        File { stamp: None, settled: false, good: None, error: None, unread: None, gone: None }
    }

    fn part<'a>(&'a self, name: &'a str) -> Part<'a, X> {
        let objects = self.good.as_ref().map_or(&[][..], |(_, objects)| objects);
        Part { name, objects, present: self.gone.is_none() }
    }

    /// Takes what was seen. Whether its last good version is another one now.
    fn take<K: ObjectKinds<Object = X>>(&mut self, shown: &str, look: Look) -> bool {
        let wrong = |reason: String| Some(FileError { file: shown.to_owned(), line: 0, reason });
        let (error, unread) = match look {
            Look::Writing => (wrong("is being written".to_owned()), Some(true)),
            Look::Failed(error) => (wrong(error.to_string()), Some(false)),
            Look::Emptied => (wrong("is empty; remove it to take its objects away".to_owned()), None),
            Look::Text(text) if self.good.as_ref().is_some_and(|(good, _)| *good == text) => (None, None),
            Look::Text(text) => match parse::<K>(shown, &text) {
                Ok(objects) => {
                    (self.good, self.error, self.unread) = (Some((text, objects)), None, None);
                    return true;
                }
                Err(error) => (Some(error), Some(false)),
            },
        };
        (self.error, self.unread) = (error, unread);
        false
    }

    /// The directory is gone: the last good version is all there is, until the file is seen again.
    fn rest(&mut self) {
        (self.stamp, self.settled, self.error, self.unread, self.gone) = (None, false, None, None, None);
    }
}
