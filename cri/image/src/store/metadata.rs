//! `images.json`: which names and digests mean which image.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::usage::Usage;
use crate::{ImageError, files, names};

/// An image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRecord {
    /// Digest of its config, `sha256:HEX`.
    pub id: String,
    /// `REPOSITORY:TAG`, full names.
    pub repo_tags: Vec<String>,
    /// `REPOSITORY@DIGEST`, the digest of what the registry calls by that name: an index where it has one.
    pub repo_digests: Vec<String>,
    /// Compressed bytes of the layers, plus the config.
    pub size: u64,
    /// Diff ids, bottom first.
    pub layers: Vec<String>,
    /// Key of the layer on top that gives directories the owners of lower layers, if there has to be one.
    #[serde(default)]
    pub parents: Option<String>,
    /// Never removed.
    #[serde(skip)]
    pub pinned: bool,
}

/// The file.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Metadata {
    version: u32,
    pub images: BTreeMap<String, ImageRecord>,
    /// What the unpacked layers of all images take, by the hex of their diff id.
    pub layers: BTreeMap<String, Usage>,
}

const VERSION: u32 = 1;
/// Shorter prefixes of ids mean nothing.
const MIN_PREFIX: usize = 3;

impl Metadata {
    /// Reads the file; absent, it is empty.
    pub fn load(path: &Path) -> Result<Self, ImageError> {
        let bad = |what: String| ImageError::Failed(format!("{}: {what}", path.display()));
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Metadata { version: VERSION, ..Default::default() });
            }
            Err(e) => return Err(ImageError::io(path.display(), e)),
        };
        let metadata: Metadata = serde_json::from_slice(&bytes).map_err(|e| bad(e.to_string()))?;
        match metadata.version {
            VERSION => Ok(metadata),
            other => Err(bad(format!("has version {other}, this release reads {VERSION}"))),
        }
    }

    /// Writes the file, durably.
    pub fn save(&self, path: &Path) -> Result<(), ImageError> {
        let bytes = serde_json::to_vec(self).map_err(|e| ImageError::Failed(e.to_string()))?;
        files::replace(path, &bytes).map_err(|e| ImageError::io(format!("write {}", path.display()), e))
    }

    /// Adds an image, or names to it. A tag moves here from the image that had it.
    pub fn put(&mut self, image: ImageRecord, layers: impl IntoIterator<Item = (String, Usage)>) {
        for other in self.images.values_mut() {
            other.repo_tags.retain(|tag| !image.repo_tags.contains(tag));
        }
        self.layers.extend(layers);
        let known = self.images.entry(image.id.clone()).or_insert_with(|| ImageRecord {
            repo_tags: Vec::new(),
            repo_digests: Vec::new(),
            ..image.clone()
        });
        known.parents = image.parents.or(known.parents.take());
        merge(&mut known.repo_tags, image.repo_tags);
        merge(&mut known.repo_digests, image.repo_digests);
    }

    /// Takes an image out, and what is known of layers that no other image has.
    pub fn remove(&mut self, id: &str) {
        self.images.remove(id);
        let used = self.used_layers();
        self.layers.retain(|key, _| used.contains(key));
    }

    /// Hex of the diff ids of all images.
    pub fn used_layers(&self) -> BTreeSet<String> {
        let layers = self.images.values().flat_map(|i| &i.layers).filter_map(|d| names::hex_of(d).ok());
        layers.chain(self.images.values().filter_map(|i| i.parents.as_deref())).map(str::to_owned).collect()
    }

    /// An image by id, by a name in any form, or by the beginning of its id.
    pub fn find(&self, wanted: &str) -> Option<&ImageRecord> {
        let hex = wanted.strip_prefix("sha256:").unwrap_or(wanted);
        if names::is_hex(hex) && hex.len() == 64 {
            return self.images.get(&format!("sha256:{hex}"));
        }
        self.find_name(wanted).or_else(|| self.find_prefix(hex))
    }

    fn find_name(&self, wanted: &str) -> Option<&ImageRecord> {
        let reference = names::parse(wanted).ok()?;
        let has: Box<dyn Fn(&ImageRecord) -> bool> = match reference.digest() {
            Some(digest) => {
                let name = names::repo_digest(&reference, digest);
                Box::new(move |image| image.repo_digests.contains(&name))
            }
            None => {
                let name = names::repo_tag(&reference)?;
                Box::new(move |image| image.repo_tags.contains(&name))
            }
        };
        self.images.values().find(|image| has(image))
    }

    fn find_prefix(&self, hex: &str) -> Option<&ImageRecord> {
        if hex.len() < MIN_PREFIX || !names::is_hex(hex) {
            return None;
        }
        let mut fitting =
            self.images.iter().filter(|(id, _)| id.strip_prefix("sha256:").is_some_and(|id| id.starts_with(hex)));
        let found = fitting.next()?.1;
        fitting.next().is_none().then_some(found)
    }
}

fn merge(to: &mut Vec<String>, from: Vec<String>) {
    to.extend(from);
    to.sort();
    to.dedup();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(config: &[u8], tag: &str) -> ImageRecord {
        ImageRecord {
            id: names::sha256(config),
            repo_tags: vec![format!("docker.io/library/{tag}")],
            repo_digests: vec![format!("docker.io/library/a@{}", names::sha256(tag.as_bytes()))],
            size: 1,
            layers: vec![names::sha256(b"layer")],
            parents: None,
            pinned: false,
        }
    }

    #[test]
    fn an_image_is_found_by_every_form_of_its_name() {
        let mut metadata = Metadata::default();
        metadata.put(image(b"1", "a:latest"), []);
        let (id, digest) = (names::sha256(b"1"), names::sha256(b"a:latest"));
        let digested = format!("docker.io/library/a:other@{digest}");
        for name in [
            &id,
            &id[7..],
            &id[7..12],
            &id[..12],
            "a",
            "a:latest",
            "docker.io/library/a",
            "library/a:latest",
            &digested,
        ] {
            assert_eq!(metadata.find(name).map(|i| &i.id), Some(&id), "{name}");
        }
        for name in ["b", "a:1", &id[7..9], "", "::", &names::sha256(b"2")] {
            assert!(metadata.find(name).is_none(), "{name}");
        }
    }

    #[test]
    fn a_tag_moves_to_the_image_that_was_pulled_last() {
        let mut metadata = Metadata::default();
        metadata.put(image(b"1", "a:latest"), []);
        metadata.put(image(b"2", "a:latest"), []);
        assert_eq!(metadata.find("a").unwrap().id, names::sha256(b"2"));
        assert!(metadata.find(&names::sha256(b"1")).unwrap().repo_tags.is_empty());
    }

    #[test]
    fn layers_are_forgotten_with_the_last_image_that_has_them() {
        let mut metadata = Metadata::default();
        let key = names::hex_of(&names::sha256(b"layer")).unwrap().to_owned();
        metadata.put(image(b"1", "a:1"), [(key.clone(), Usage::default())]);
        metadata.put(image(b"2", "a:2"), []);
        metadata.remove(&names::sha256(b"1"));
        assert!(metadata.layers.contains_key(&key));
        metadata.remove(&names::sha256(b"2"));
        assert!(metadata.layers.is_empty());
    }
}
