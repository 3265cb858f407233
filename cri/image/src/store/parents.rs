//! Directories that a layer names only by what is in them.
//!
//! Each layer is unpacked alone, and shared by images. A file whose directories have no entry of their own brings
//! directories along that belong to root, and in an overlay they would cover those of lower layers with mode and owner.
//! So such an image gets one layer more, on top, that holds nothing but those directories as the layers below have
//! them.

use std::collections::{BTreeSet, HashSet};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::usage::Usage;
use crate::ImageError;

/// Directories opened for one image.
const MOST: u64 = 1_000_000;

/// A layer: its directory, and the directories in it that have no entry.
pub(crate) struct Layer {
    root: OwnedFd,
    implied: HashSet<Vec<u8>>,
}

impl Layer {
    /// Opens a layer, and what was noted of it.
    pub fn open(dir: &Path, notes: &Path) -> std::io::Result<Self> {
        let implied = match std::fs::read(notes) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => HashSet::new(),
            Err(e) => return Err(e),
        };
        Ok(Layer { root: File::open(dir)?.into(), implied })
    }
}

/// The layers of an image, top first.
pub(crate) struct Stack {
    pub layers: Vec<Layer>,
    opened: u64,
}

/// A directory as the layers show it: the layers that have it, top first.
type Merged = Vec<(usize, OwnedFd)>;

impl Stack {
    pub fn new(layers: Vec<Layer>) -> Self {
        Stack { layers, opened: 0 }
    }

    /// Fills an empty directory with what has to lie on top; none: nothing has to.
    pub fn fill(&mut self, dir: &Path) -> Result<Option<Usage>, ImageError> {
        let failed = |e: std::io::Error| ImageError::io("give directories the owners of lower layers", e);
        let all: BTreeSet<Vec<u8>> = self.layers.iter().flat_map(|layer| layer.implied.iter().cloned()).collect();
        let mut made = None;
        for path in &all {
            if !self.is_covered(path).map_err(failed)? {
                continue;
            }
            let root = match &mut made {
                Some((root, _)) => root,
                none => {
                    let root: OwnedFd = File::open(dir).map_err(failed)?.into();
                    self.give(b".", &root).map_err(failed)?;
                    &mut none.insert((root, Usage { bytes: 4096, inodes: 1 })).0
                }
            };
            let new = self.make(root, path).map_err(failed)?;
            if let Some((_, usage)) = &mut made {
                *usage += Usage { bytes: 4096 * new, inodes: new };
            }
            if self.opened > MOST {
                let text = "the layers name too many directories only by what is in them".to_owned();
                return Err(ImageError::Exhausted(text));
            }
        }
        Ok(made.map(|(_, usage)| usage))
    }

    /// The topmost layer that has this directory has no entry for it, and a lower one has another mode or owner.
    fn is_covered(&mut self, path: &[u8]) -> std::io::Result<bool> {
        let merged = self.find(path)?;
        let Some((top, shown)) = merged.first() else { return Ok(false) };
        if !self.layers[*top].implied.contains(path) {
            return Ok(false);
        }
        let of = |fd: &OwnedFd| rustix::fs::fstat(fd).map(|s| (s.st_mode, s.st_uid, s.st_gid));
        let told = merged.iter().find(|(i, _)| !self.layers[*i].implied.contains(path));
        Ok(match told {
            Some((_, fd)) => of(fd)? != of(shown)?,
            None => false,
        })
    }

    /// Makes a directory, and those above it, as the image has them; how many are new.
    fn make(&mut self, root: &OwnedFd, path: &[u8]) -> std::io::Result<u64> {
        let (mut new, mut end) = (0, 0);
        let mut dir = root.try_clone()?;
        for name in path.split(|b| *b == b'/').filter(|name| *name != b".") {
            end += name.len() + usize::from(end > 0);
            let made = match rustix::fs::mkdirat(&dir, name, Mode::RWXU) {
                Ok(()) => true,
                Err(Errno::EXIST) => false,
                Err(e) => return Err(e.into()),
            };
            dir = open(&dir, name)?;
            if made {
                self.give(&path[..end], &dir)?;
                new += 1;
            }
        }
        Ok(new)
    }

    /// Gives a directory the metadata that the image has for it.
    fn give(&mut self, path: &[u8], to: &OwnedFd) -> std::io::Result<()> {
        let merged = self.find(path)?;
        let told = merged.iter().find(|(i, _)| !self.layers[*i].implied.contains(path));
        match told.or(merged.first()) {
            Some((_, from)) => cofferdam_tree::copy_metadata(from.as_fd(), to.as_fd()),
            None => Ok(()),
        }
    }

    fn find(&mut self, path: &[u8]) -> std::io::Result<Merged> {
        let roots = self.layers.iter().enumerate().map(|(i, layer)| Ok((i, layer.root.try_clone()?)));
        let mut merged = roots.collect::<std::io::Result<Merged>>()?;
        let names: Vec<&[u8]> = path.split(|b| *b == b'/').filter(|name| *name != b".").collect();
        for (depth, name) in names.iter().enumerate() {
            let mut next = Merged::new();
            for (layer, dir) in &merged {
                self.opened += 1;
                match open(dir, name) {
                    Ok(child) => {
                        // What an opaque directory hides is what lower layers have in it, not what they say of it.
                        let hides = depth + 1 < names.len() && is_opaque(&child);
                        next.push((*layer, child));
                        if hides {
                            break;
                        }
                    }
                    Err(Errno::NOENT) => {}
                    // A whiteout, or something else in its place.
                    Err(Errno::NOTDIR | Errno::LOOP) => break,
                    Err(e) => return Err(e.into()),
                }
            }
            merged = next;
        }
        Ok(merged)
    }
}

fn open(parent: &OwnedFd, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}

fn is_opaque(dir: &OwnedFd) -> bool {
    let mut value = [0; 1];
    rustix::fs::fgetxattr(dir, "trusted.overlay.opaque", &mut value).is_ok_and(|n| value[..n] == *b"y")
}
