//! What a registry, an image or a `hosts.toml` may contain, read as a pull reads it: the way in for the fuzz targets.

use std::io::{Cursor, Read};
use std::path::Path;

use crate::manifest::{self, Document};
use crate::registry::parse_hosts;
use crate::unpack::{Decoder, Stream, path_of};

pub use crate::unpack::Limits;

/// Reads a manifest or an index, and chooses this machine's entry of an index.
pub fn manifest(bytes: &[u8]) {
    if let Ok(Document::Index(entries)) = manifest::parse(bytes) {
        let mut search = manifest::Search::new("latest");
        if let Ok(step) = search.step() {
            let _ = search.enter(&step, &entries);
        }
    }
}

/// Reads an image's config for a manifest with so many layers.
pub fn config(bytes: &[u8], layers: usize) -> bool {
    manifest::config(bytes, layers).is_ok()
}

/// Reads a `hosts.toml`; answers the base URLs of what is asked for `registry`, in order.
pub fn hosts(text: &str, registry: &str) -> Option<Vec<String>> {
    let endpoints = parse_hosts(Path::new("certs.d/registry/hosts.toml"), text, registry).ok()?;
    Some(endpoints.into_iter().map(|endpoint| endpoint.base).collect())
}

/// How much a layer holds.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Content {
    /// Entries of the tar.
    pub entries: u64,
    /// Bytes of their contents.
    pub bytes: u64,
}

/// Inflates a layer and reads its tar to the end or to the first error; nothing is written anywhere.
pub fn layer(bytes: &[u8], limits: &Limits) -> Content {
    let mut stream = Stream::new(Decoder::start(Cursor::new(bytes.to_vec()), limits));
    let mut content = Content::default();
    while let Ok(Some(item)) = stream.next() {
        content.entries += 1;
        for name in [&item.path, &item.link] {
            let _ = path_of(name);
        }
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = stream.read(&mut buffer) {
            content.bytes += n as u64;
        }
    }
    content
}
