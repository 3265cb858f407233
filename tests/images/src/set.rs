//! Images that belong together, and what they are made from.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::image::Image;
use crate::layer::Blob;

/// Images that are built, cached and served together.
#[derive(Clone, Copy, Debug)]
pub struct ImageSet {
    /// How the command line and the cache name it.
    pub name: &'static str,
    /// Part of the cache's key: to be raised when a recipe or the compressor changes.
    pub version: u32,
    /// Fetches what the recipes take, such as Debian packages. The names of these files carry their versions: they are
    /// the other part of the key.
    pub inputs: fn() -> Result<Vec<PathBuf>>,
    /// Makes the images from the inputs.
    pub recipes: fn(&[PathBuf]) -> Result<Vec<Named>>,
}

/// A named image, or an index when there are several. One image with several tags is named several times.
#[derive(Clone, Debug)]
pub struct Named {
    /// `test/busybox`.
    pub name: &'static str,
    /// `latest`.
    pub tag: &'static str,
    /// One image, or those of an index.
    pub images: Vec<Image>,
}

impl Named {
    /// One image under one name.
    pub fn one(name: &'static str, tag: &'static str, image: Image) -> Self {
        Self { name, tag, images: vec![image] }
    }
}

impl ImageSet {
    /// All images, built anew.
    pub fn images(&self) -> Result<Vec<Named>> {
        (self.recipes)(&(self.inputs)()?)
    }

    /// The name of its directory in the cache.
    pub(crate) fn key(&self, inputs: &[PathBuf]) -> String {
        let names: Vec<String> = inputs.iter().map(|path| cached_name(path)).collect();
        let digest = Blob::new(format!("{} {}", self.version, names.join(" ")).into_bytes()).digest;
        format!("{}-{}", self.name, &digest["sha256:".len()..][..16])
    }
}

/// File and directory name: packages carry the version in the one, tools in the other.
fn cached_name(path: &Path) -> String {
    let parts: Vec<String> = path.iter().rev().take(2).map(|part| part.to_string_lossy().into_owned()).collect();
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipes;

    #[test]
    fn the_key_follows_the_versions_in_names_and_not_the_place() {
        let set = recipes::base::SET;
        let key = |path: &str| set.key(&[PathBuf::from(path)]);
        assert_eq!(key("/a/packages/nginx_1.deb"), key("/b/packages/nginx_1.deb"));
        assert_ne!(key("/a/packages/nginx_1.deb"), key("/a/packages/nginx_2.deb"));
        assert_ne!(key("/a/busybox-1/busybox"), key("/a/busybox-2/busybox"));
        assert_ne!(key("/a/x"), ImageSet { version: set.version + 1, ..set }.key(&[PathBuf::from("/a/x")]));
        assert!(key("/a/x").starts_with("base-"));
    }
}
