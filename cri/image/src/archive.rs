//! Images from a file: `docker save` (manifest.json) or an OCI layout (index.json), as a plain tar.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::fs::FileExt;
use std::path::Path;

use serde::Deserialize;

use crate::layer::{self, Wanted, Workshop};
use crate::manifest::{self, Descriptor, Document, Search};
use crate::store::ImageRecord;
use crate::unpack::Stream;
use crate::{ImageError, names};

/// An image that was loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// `sha256:HEX` of the config.
    pub id: String,
    /// The names that the archive gives it.
    pub tags: Vec<String>,
}

/// No document in an archive is larger.
const MAX_DOCUMENT: u64 = 8 << 20;
/// No archive of images has more members.
const MAX_MEMBERS: usize = 100_000;

/// An image as the archive describes it.
struct Source {
    tags: Vec<String>,
    config: Vec<u8>,
    /// Name in the archive, and the digest where it has one.
    layers: Vec<(String, Option<String>)>,
}

/// Loads every image. Blocking.
pub(crate) fn load(shop: &Workshop, path: &Path) -> Result<Vec<Loaded>, ImageError> {
    let archive = Archive::open(path)?;
    let sources = match (archive.members.contains_key("manifest.json"), archive.members.contains_key("index.json")) {
        (true, _) => docker(&archive)?,
        (_, true) => oci(&archive)?,
        _ => {
            return Err(ImageError::Invalid(
                "is no archive of images: neither manifest.json nor index.json is in it".into(),
            ));
        }
    };
    sources.into_iter().map(|source| load_image(shop, &archive, source)).collect()
}

fn load_image(shop: &Workshop, archive: &Archive, source: Source) -> Result<Loaded, ImageError> {
    let id = names::sha256(&source.config);
    let config = manifest::config(&source.config, source.layers.len())?;
    let diff_ids = config.rootfs().diff_ids().clone();
    let held = diff_ids.iter().filter_map(|d| names::hex_of(d).ok()).map(str::to_owned);
    let _hold = shop.store.hold(held.chain([id.clone()]).collect());
    let (mut layers, mut size) = (Vec::new(), source.config.len() as u64);
    for ((name, digest), diff_id) in source.layers.iter().zip(&diff_ids) {
        let key = names::hex_of(diff_id)?.to_owned();
        let member = archive.member(name)?;
        size += member.size;
        let usage = match shop.store.layer(&key) {
            Some(usage) => usage,
            None => {
                let wanted = Wanted { digest: digest.clone(), diff_id: diff_id.clone() };
                layer::unpack(shop, &wanted, archive.reader(member)?)?
            }
        };
        layers.push((key, usage));
    }
    let tags = source.tags.iter().map(|tag| names::parse(tag)).collect::<Result<Vec<_>, _>>()?;
    let repo_tags: Vec<String> = tags.iter().filter_map(names::repo_tag).collect();
    let loaded = Loaded { id: id.clone(), tags: repo_tags.clone() };
    let record =
        ImageRecord { id, repo_tags, repo_digests: Vec::new(), size, layers: diff_ids, parents: None, pinned: false };
    shop.store.record(record, &source.config, config, layers)?;
    Ok(loaded)
}

fn docker(archive: &Archive) -> Result<Vec<Source>, ImageError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Entry {
        config: String,
        repo_tags: Option<Vec<String>>,
        layers: Vec<String>,
    }
    let bytes = archive.document("manifest.json")?;
    let entries: Vec<Entry> =
        serde_json::from_slice(&bytes).map_err(|e| ImageError::Invalid(format!("manifest.json: {e}")))?;
    let source = |entry: Entry| {
        Ok(Source {
            tags: entry.repo_tags.unwrap_or_default(),
            config: archive.document(&entry.config)?,
            layers: entry.layers.into_iter().map(|name| (name, None)).collect(),
        })
    };
    entries.into_iter().map(source).collect()
}

fn oci(archive: &Archive) -> Result<Vec<Source>, ImageError> {
    let Document::Index(entries) = manifest::parse(&archive.document("index.json")?)? else {
        return Err(ImageError::Invalid("index.json: is no index".into()));
    };
    entries.iter().map(|entry| oci_image(archive, entry)).collect()
}

fn oci_image(archive: &Archive, entry: &Descriptor) -> Result<Source, ImageError> {
    let mut search = Search::new(&entry.digest);
    let manifest = loop {
        let step = search.step()?;
        match manifest::parse(&archive.blob(&step.name)?) {
            Ok(Document::Index(entries)) => search.enter(&step, &entries)?,
            Ok(Document::Manifest(found)) => {
                let fits = || manifest::config(&archive.blob(&found.config.digest)?, found.layers.len());
                if step.sure || fits().is_ok() {
                    break found;
                }
            }
            Err(error) if step.sure => return Err(error),
            Err(_) => {}
        }
    };
    // `ref.name` alone may be only a tag, which names no image.
    let name = entry.annotations.get("io.containerd.image.name");
    let name =
        name.or_else(|| entry.annotations.get("org.opencontainers.image.ref.name").filter(|n| n.contains(['/', ':'])));
    Ok(Source {
        tags: name.into_iter().cloned().collect(),
        config: archive.blob(&manifest.config.digest)?,
        layers: manifest.layers.into_iter().map(|l| (blob_name(&l.digest), Some(l.digest))).collect(),
    })
}

fn blob_name(digest: &str) -> String {
    format!("blobs/{}", digest.replacen(':', "/", 1))
}

#[derive(Debug, Clone, Copy)]
struct Member {
    offset: u64,
    size: u64,
}

struct Archive {
    file: File,
    members: HashMap<String, Member>,
    links: HashMap<String, String>,
}

impl Archive {
    fn open(path: &Path) -> Result<Self, ImageError> {
        let failed = |e: std::io::Error| match e.kind() {
            std::io::ErrorKind::InvalidData => ImageError::Invalid(format!("is no plain tar: {e}")),
            _ => ImageError::io("read the archive", e),
        };
        let file = File::open(path).map_err(failed)?;
        let (mut members, mut links) = (HashMap::new(), HashMap::new());
        let mut stream = Stream::new(file);
        while let Some(item) = stream.next().map_err(failed)? {
            let name = String::from_utf8_lossy(&item.path).trim_start_matches("./").to_owned();
            let offset = stream.input().stream_position().map_err(failed)?;
            match item.kind {
                tar::EntryType::Regular | tar::EntryType::Continuous => {
                    members.insert(name, Member { offset, size: item.size });
                }
                tar::EntryType::Link => {
                    links.insert(name, String::from_utf8_lossy(&item.link).into_owned());
                }
                tar::EntryType::Symlink => {
                    let dir = name.rsplit_once('/').map_or("", |(dir, _)| dir);
                    let target = beside(dir, &String::from_utf8_lossy(&item.link));
                    links.insert(name, target);
                }
                _ => {}
            }
            if members.len() + links.len() > MAX_MEMBERS {
                return Err(ImageError::Invalid(format!("has more than {MAX_MEMBERS} members")));
            }
            stream.seek_over().map_err(failed)?;
        }
        Ok(Archive { file: stream.into_input(), members, links })
    }

    /// Old `docker save` writes equal layers once, and links to them.
    fn member(&self, name: &str) -> Result<Member, ImageError> {
        let found = self.members.get(name).or_else(|| self.members.get(self.links.get(name)?));
        found.copied().ok_or_else(|| ImageError::Invalid(format!("{name} is not in the archive")))
    }

    fn document(&self, name: &str) -> Result<Vec<u8>, ImageError> {
        let member = self.member(name)?;
        if member.size > MAX_DOCUMENT {
            return Err(ImageError::Invalid(format!("{name} has {} bytes", member.size)));
        }
        let mut bytes = vec![0; member.size as usize];
        self.file.read_exact_at(&mut bytes, member.offset).map_err(|e| ImageError::io(format!("read {name}"), e))?;
        Ok(bytes)
    }

    fn blob(&self, digest: &str) -> Result<Vec<u8>, ImageError> {
        names::hex_of(digest)?;
        let bytes = self.document(&blob_name(digest))?;
        match names::sha256(&bytes) {
            found if found == digest => Ok(bytes),
            found => Err(ImageError::Invalid(format!("blob {digest}: its digest is {found}"))),
        }
    }

    fn reader(&self, member: Member) -> Result<impl Read + 'static, ImageError> {
        let file = self.file.try_clone().map_err(|e| ImageError::io("read the archive", e))?;
        Ok(Range { file, at: member.offset, end: member.offset + member.size })
    }
}

/// A relative link's target, from the archive's root.
fn beside(dir: &str, target: &str) -> String {
    let mut parts: Vec<&str> = dir.split('/').filter(|p| !p.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    parts.join("/")
}

struct Range {
    file: File,
    at: u64,
    end: u64,
}

impl Read for Range {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let most = usize::try_from(self.end - self.at).unwrap_or(usize::MAX).min(out.len());
        let n = self.file.read_at(&mut out[..most], self.at)?;
        self.at += n as u64;
        Ok(n)
    }
}
