//! `apply` and `delete`: objects written into the directory, each in a file of its own, whole or not at all.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::document::FileError;
use crate::kinds::ObjectKinds;
use crate::object::{Located, ObjectKey};
use crate::parse::parse;

/// What became of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Applied; there was none before.
    Created,
    /// Applied; it differs from the one before.
    Changed,
    /// Applied; it was there already.
    Unchanged,
    /// Deleted.
    Deleted,
    /// To be deleted, but there was none.
    Absent,
}

/// An object and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edited {
    /// The object.
    pub key: ObjectKey,
    /// What was done with it.
    pub outcome: Outcome,
    /// The file that holds it.
    pub path: PathBuf,
}

/// Why nothing, or not all, was written.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The input is wrong; nothing was written.
    #[error(transparent)]
    Input(#[from] FileError),
    /// The object is in a file together with others, which somebody else wrote; nothing was written.
    #[error("{kind} {name} stands in {path} together with other objects: change that file")]
    Elsewhere {
        /// Kind of the object.
        kind: &'static str,
        /// Name of the object.
        name: String,
        /// The file.
        path: PathBuf,
    },
    /// The file system failed.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// Checks all objects first, then writes them.
///
/// # Errors
/// See [`EditError`].
pub fn apply<K: ObjectKinds>(directory: &Path, file_name: &str, yaml: &str) -> Result<Vec<Edited>, EditError> {
    let plan = plan::<K>(directory, file_name, yaml)?;
    fs::create_dir_all(directory).map_err(io_error(directory))?;
    let mut done = Vec::new();
    for (located, path, old) in plan {
        let outcome = match old {
            None => Outcome::Created,
            Some(old) if old.object == located.object => Outcome::Unchanged,
            Some(_) => Outcome::Changed,
        };
        if outcome != Outcome::Unchanged {
            replace(&path, &located.text).map_err(io_error(&path))?;
        }
        done.push(Edited { key: located.key, outcome, path });
    }
    sync(directory)?;
    Ok(done)
}

/// Removes the objects; what is absent stays so.
///
/// # Errors
/// See [`EditError`].
pub fn delete<K: ObjectKinds>(directory: &Path, file_name: &str, yaml: &str) -> Result<Vec<Edited>, EditError> {
    let mut done = Vec::new();
    for (located, path, old) in plan::<K>(directory, file_name, yaml)? {
        let outcome = if old.is_some() { Outcome::Deleted } else { Outcome::Absent };
        if old.is_some() {
            fs::remove_file(&path).map_err(io_error(&path))?;
        }
        done.push(Edited { key: located.key, outcome, path });
    }
    if directory.is_dir() {
        sync(directory)?;
    }
    Ok(done)
}

/// An object that is wanted, the file it belongs in, and what that file has of it now.
type Step<X> = (Located<X>, PathBuf, Option<Located<X>>);

fn plan<K: ObjectKinds>(directory: &Path, file_name: &str, yaml: &str) -> Result<Vec<Step<K::Object>>, EditError> {
    let wanted = parse::<K>(file_name, yaml)?;
    let present = present::<K>(directory)?;
    let one = |located: Located<K::Object>| {
        let key = &located.key;
        let Some((path, old)) = present.iter().find(|(_, all)| all.iter().any(|other| other.key == *key)) else {
            let path = directory.join(file_name_of(key));
            return Ok((located, path, None));
        };
        match &old[..] {
            [only] => Ok((located, path.clone(), Some(only.clone()))),
            _ => Err(EditError::Elsewhere { kind: key.0, name: key.2.clone(), path: path.clone() }),
        }
    };
    wanted.into_iter().map(one).collect()
}

/// The files of a directory with their objects.
type Files<X> = Vec<(PathBuf, Vec<Located<X>>)>;

fn present<K: ObjectKinds>(directory: &Path) -> Result<Files<K::Object>, EditError> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(EditError::Io { path: directory.to_owned(), source }),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(io_error(directory))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.ends_with(".yaml") && !name.starts_with('.') {
            let text = fs::read_to_string(&path).map_err(io_error(&path))?;
            // A broken file has no objects; its own file name may be written over, which mends it.
            let objects = parse::<K>(&path.display().to_string(), &text).unwrap_or_default();
            found.push((path, objects));
        }
    }
    Ok(found)
}

/// Names of Kubernetes objects are DNS names; anything else is escaped, so that no name leaves the directory.
fn file_name_of((kind, namespace, name): &ObjectKey) -> String {
    let clean = |text: &str| -> String {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
        text.chars().map(|c| if plain(c) { c.to_string() } else { format!("%{:x}", u32::from(c)) }).collect()
    };
    let kind = kind.to_ascii_lowercase();
    match namespace.is_empty() {
        true => format!("{kind}_{}.yaml", clean(name)),
        false => format!("{kind}_{}_{}.yaml", clean(namespace), clean(name)),
    }
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let part = path.with_file_name(format!(".{name}.part"));
    let mut file = fs::File::create(&part)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&part, path)
}

fn sync(directory: &Path) -> Result<(), EditError> {
    fs::File::open(directory).and_then(|d| d.sync_all()).map_err(io_error(directory))
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> EditError + use<> {
    let path = path.to_owned();
    move |source| EditError::Io { path, source }
}
