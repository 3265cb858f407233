//! One layer of an image, as a tar whose bytes depend on its content only.

use std::collections::BTreeMap;
use std::io::Write as _;

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

/// How the layer travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// A plain tar.
    None,
    /// gzip, what nearly every image uses.
    Gzip,
}

#[derive(Clone, Debug)]
enum Kind {
    Dir,
    File(Vec<u8>),
    Symlink(String),
    Hardlink(String),
}

#[derive(Clone, Debug)]
struct Entry {
    kind: Kind,
    mode: u32,
    uid: u64,
    gid: u64,
}

/// The content of a layer, by path without a leading slash. Missing parent directories are added.
#[derive(Clone, Debug, Default)]
pub struct Layer {
    entries: BTreeMap<String, Entry>,
}

/// Bytes and their digest.
#[derive(Clone, Debug)]
pub struct Blob {
    /// `sha256:<hex>` of `data`.
    pub digest: String,
    /// What is stored and sent.
    pub data: Vec<u8>,
}

impl Blob {
    /// A blob of these bytes.
    pub fn new(data: Vec<u8>) -> Self {
        let hex: String = Sha256::digest(&data).iter().map(|byte| format!("{byte:02x}")).collect();
        Self { digest: format!("sha256:{hex}"), data }
    }
}

impl Layer {
    /// An empty layer.
    pub fn new() -> Self {
        Self::default()
    }

    /// A directory with a mode.
    #[must_use]
    pub fn dir(self, path: &str, mode: u32) -> Self {
        self.add(path, Kind::Dir, mode)
    }

    /// A regular file of root.
    #[must_use]
    pub fn file(self, path: &str, mode: u32, data: impl Into<Vec<u8>>) -> Self {
        self.add(path, Kind::File(data.into()), mode)
    }

    /// A symbolic link.
    #[must_use]
    pub fn symlink(self, path: &str, target: &str) -> Self {
        self.add(path, Kind::Symlink(target.to_owned()), 0o777)
    }

    /// A hard link to another path of this layer that sorts before `path`.
    #[must_use]
    pub fn hardlink(self, path: &str, target: &str) -> Self {
        self.add(path, Kind::Hardlink(target.to_owned()), 0o644)
    }

    /// Removes what lower layers have at `path`.
    #[must_use]
    pub fn whiteout(self, path: &str) -> Self {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let separator = if parent.is_empty() { "" } else { "/" };
        self.file(&format!("{parent}{separator}.wh.{name}"), 0o600, "")
    }

    /// Hides what lower layers have in the directory `path`.
    #[must_use]
    pub fn opaque(self, path: &str) -> Self {
        self.file(&format!("{path}/.wh..wh..opq"), 0o600, "")
    }

    /// Gives the entry added at `path` an owner.
    #[must_use]
    pub fn owner(mut self, path: &str, uid: u64, gid: u64) -> Self {
        if let Some(entry) = self.entries.get_mut(path) {
            (entry.uid, entry.gid) = (uid, gid);
        }
        self
    }

    /// Adds the entries of `other`, which win.
    #[must_use]
    pub fn merge(mut self, other: Layer) -> Self {
        self.entries.extend(other.entries);
        self
    }

    fn add(mut self, path: &str, kind: Kind, mode: u32) -> Self {
        let mut at = 0;
        while let Some(next) = path[at..].find('/') {
            at += next;
            self.entries.entry(path[..at].to_owned()).or_insert(Entry { kind: Kind::Dir, mode: 0o755, uid: 0, gid: 0 });
            at += 1;
        }
        self.entries.insert(path.to_owned(), Entry { kind, mode, uid: 0, gid: 0 });
        self
    }

    /// The tar: sorted, every time stamp zero.
    pub fn tar(&self) -> Result<Vec<u8>> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, entry) in &self.entries {
            append(&mut builder, path, entry).with_context(|| format!("tar entry {path}"))?;
        }
        Ok(builder.into_inner()?)
    }
}

fn append(builder: &mut tar::Builder<Vec<u8>>, path: &str, entry: &Entry) -> Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_mode(entry.mode);
    header.set_uid(entry.uid);
    header.set_gid(entry.gid);
    header.set_mtime(0);
    header.set_size(0);
    match &entry.kind {
        Kind::Dir => {
            header.set_entry_type(tar::EntryType::Directory);
            builder.append_data(&mut header, format!("{path}/"), std::io::empty())?;
        }
        Kind::File(data) => {
            header.set_entry_type(tar::EntryType::Regular);
            header.set_size(data.len() as u64);
            builder.append_data(&mut header, path, data.as_slice())?;
        }
        Kind::Symlink(target) => {
            header.set_entry_type(tar::EntryType::Symlink);
            builder.append_link(&mut header, path, target)?;
        }
        Kind::Hardlink(target) => {
            header.set_entry_type(tar::EntryType::Link);
            builder.append_link(&mut header, path, target)?;
        }
    }
    Ok(())
}

/// `data` as it travels.
pub fn compress(data: &[u8], compression: Compression) -> Result<Vec<u8>> {
    match compression {
        Compression::None => Ok(data.to_vec()),
        Compression::Gzip => {
            let mut encoder = flate2::GzBuilder::new().mtime(0).write(Vec::new(), flate2::Compression::default());
            encoder.write_all(data)?;
            Ok(encoder.finish()?)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_adding_does_not_change_the_bytes() {
        let one = Layer::new().file("b/x", 0o644, "x").file("a", 0o600, "a").tar().unwrap();
        let two = Layer::new().file("a", 0o600, "a").file("b/x", 0o644, "x").tar().unwrap();
        assert_eq!(one, two);
    }

    #[test]
    fn parents_come_before_their_children() {
        let tar = Layer::new().file("a/b/c", 0o644, "c").whiteout("a/gone").tar().unwrap();
        let mut archive = tar::Archive::new(tar.as_slice());
        let paths: Vec<String> =
            archive.entries().unwrap().map(|e| e.unwrap().path().unwrap().to_string_lossy().into_owned()).collect();
        assert_eq!(paths, ["a/", "a/.wh.gone", "a/b/", "a/b/c"]);
    }
}
