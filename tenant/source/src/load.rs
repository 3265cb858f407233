//! A directory as a snapshot. Of a file that is broken, the last good version counts.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use cofferdam_tenant_cluster::{ClusterFacts, Labels, NAME_LABEL};

use crate::config::SourceConfig;
use crate::document::FileError;
use crate::kinds::ObjectKinds;
use crate::object::{Located, Object, ObjectKey};
use crate::parse::parse;

/// A file as it was last read.
struct File<X> {
    text: String,
    /// The objects of its last version without errors.
    good: Option<Vec<Located<X>>>,
    /// What is wrong with its present version.
    error: Option<FileError>,
}

/// Reads the directory again and again; a file that did not change is not parsed again.
pub struct Loader<K: ObjectKinds> {
    directory: PathBuf,
    config: SourceConfig,
    files: BTreeMap<String, File<K::Object>>,
    /// Whether there ever was a snapshot without errors.
    ever_good: bool,
}

impl<K: ObjectKinds> Loader<K> {
    /// A loader that has read nothing yet.
    pub fn new(directory: impl Into<PathBuf>, config: SourceConfig) -> Self {
        Loader { directory: directory.into(), config, files: BTreeMap::new(), ever_good: false }
    }

    /// Another configuration from the next load on.
    pub fn set_config(&mut self, config: SourceConfig) {
        self.config = config;
    }

    /// The directory as it is now.
    pub fn load(&mut self) -> K::Snapshot {
        let mut facts = self.config.facts();
        facts.complete = true;
        let mut errors = Vec::new();
        match list(&self.directory) {
            Ok(Listing { yaml, ignored }) => {
                self.read(&yaml);
                facts.ignored_files = ignored;
            }
            Err(error) => {
                let file = self.directory.display().to_string();
                errors.push(FileError { file, line: 0, reason: error.to_string() });
            }
        }
        errors.extend(self.files.values().filter_map(|f| f.error.clone()));
        let mut further = Vec::new();
        errors.extend(self.merge(&mut facts, &mut further));
        match errors.first() {
            None => self.ever_good = true,
            Some(first) if !self.ever_good => facts.blocked = Some(first.to_string()),
            Some(_) => {}
        }
        // With nothing good so far the whole is blocked, and says so itself.
        let instead = if self.ever_good { " (what was good before is in force)" } else { "" };
        facts.warnings = errors.iter().map(|e| format!("{e}{instead}")).collect();
        K::snapshot(facts, further)
    }

    fn read(&mut self, names: &BTreeSet<String>) {
        self.files.retain(|name, _| names.contains(name));
        for name in names {
            let path = self.directory.join(name);
            let shown = path.display().to_string();
            let text = match std::fs::read_to_string(&path) {
                Ok(text) => text,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.files.remove(name);
                    continue;
                }
                Err(error) => {
                    let file = self.files.entry(name.clone()).or_insert_with(File::empty);
                    file.text.clear();
                    file.error = Some(FileError { file: shown, line: 0, reason: error.to_string() });
                    continue;
                }
            };
            let known =
                self.files.get(name).is_some_and(|f| f.text == text && !(f.good.is_none() && f.error.is_none()));
            if known {
                continue;
            }
            let file = self.files.entry(name.clone()).or_insert_with(File::empty);
            match parse::<K>(&shown, &text) {
                Ok(objects) => (file.good, file.error) = (Some(objects), None),
                Err(error) => file.error = Some(error),
            }
            file.text = text;
        }
    }

    /// Adds all objects. One that is in two files counts as the first file has it.
    fn merge(&self, facts: &mut ClusterFacts, further: &mut Vec<K::Object>) -> Vec<FileError> {
        let mut errors = Vec::new();
        let mut seen: BTreeMap<ObjectKey, &str> = BTreeMap::new();
        for (name, file) in &self.files {
            for located in file.good.iter().flatten() {
                let key = &located.key;
                if let Some(first) = seen.get(key) {
                    let reason = format!("{} {} is already in {first}", key.0, key.2);
                    let file = self.directory.join(name).display().to_string();
                    errors.push(FileError { file, line: located.line, reason });
                    continue;
                }
                seen.insert(key.clone(), name);
                match &located.object {
                    Object::Namespace(name, labels) => {
                        _ = facts.namespaces.insert(name.clone(), with_name(name, labels))
                    }
                    Object::Tenant(name, spec) => _ = facts.tenants.insert(name.clone(), spec.clone()),
                    Object::Pod(pod) => facts.pods.push((**pod).clone()),
                    Object::Further(object) => further.push(object.clone()),
                }
            }
        }
        errors
    }
}

impl<X> File<X> {
    fn empty() -> Self {
        File { text: String::new(), good: None, error: None }
    }
}

/// Adds the label that the API server would set.
fn with_name(name: &str, labels: &Labels) -> Labels {
    let mut labels = labels.clone();
    labels.insert(NAME_LABEL.into(), name.to_owned());
    labels
}

struct Listing {
    yaml: BTreeSet<String>,
    ignored: Vec<String>,
}

fn list(directory: &Path) -> io::Result<Listing> {
    let mut listing = Listing { yaml: BTreeSet::new(), ignored: Vec::new() };
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(listing),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        match name.ends_with(".yaml") && !name.starts_with('.') {
            true => _ = listing.yaml.insert(name),
            false => listing.ignored.push(name),
        }
    }
    listing.ignored.sort();
    Ok(listing)
}
