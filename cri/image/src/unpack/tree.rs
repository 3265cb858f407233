//! The layer's tree as it grows. All names are resolved below its root by the kernel (openat2, RESOLVE_IN_ROOT), the
//! last component is never followed, and everything that exists was made by this layer: the tree starts empty.

use std::collections::BTreeSet;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, RawMode, Timespec, Uid};
use rustix::io::Errno;

use super::report::{Failure, Limits, Refusal, RefusalKind};
use super::sparse::Sparse;
use super::steps::{
    Meta, Path, both_times, check_disk, check_length, failed, fill, invalid, is_whiteout, join, lossy, open_dir,
    open_in_root, open_plain, remove, set_meta, write_all,
};

/// What was made.
pub(crate) struct Done {
    pub bytes: u64,
    pub inodes: u64,
    pub opaque: Vec<Vec<u8>>,
    pub implied: Vec<Vec<u8>>,
    pub devices: u64,
}

/// The tree.
pub(crate) struct Tree {
    root: OwnedFd,
    /// The directory of the entry before: most have the same.
    last: Option<Last>,
    limits: Limits,
    bytes: u64,
    inodes: u64,
    devices: u64,
    /// Set at the end: each new entry changes its directory's time.
    times: Vec<(Vec<u8>, Timespec)>,
    opaque: BTreeSet<Vec<u8>>,
    /// Directories without an entry, as far as lower layers may have them.
    implied: BTreeSet<Vec<u8>>,
    implied_bytes: usize,
}

/// The directory of the entry before: as it was written, and where it is.
struct Last {
    raw: Vec<u8>,
    real: Vec<Vec<u8>>,
    fd: OwnedFd,
}

/// How many links a path may lead through, as the kernel's own limit.
const MAX_LINKS: u32 = 40;
/// Bytes of the paths of directories without an entry.
const MAX_IMPLIED: usize = 8 << 20;
const BUFFER: usize = 64 << 10;
/// The free space is looked at each time that so many bytes are written.
const LOOK_EVERY: u64 = 64 << 20;

impl Tree {
    /// The tree below `/` of this process.
    pub fn open(limits: &Limits) -> Result<Self, Refusal> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open("/", flags, Mode::empty()).map_err(|e| failed(&[], "open", e))?;
        rustix::fs::fchmod(&root, Mode::from_raw_mode(0o755)).map_err(|e| failed(&[], "chmod", e))?;
        rustix::fs::fchown(&root, Some(Uid::ROOT), Some(Gid::ROOT)).map_err(|e| failed(&[], "chown", e))?;
        Ok(Tree {
            root,
            last: None,
            limits: *limits,
            bytes: 0,
            inodes: 1,
            devices: 0,
            times: Vec::new(),
            opaque: BTreeSet::new(),
            implied: BTreeSet::from([b".".to_vec()]),
            implied_bytes: 0,
        })
    }

    /// Gives the root its metadata.
    pub fn root(&mut self, meta: &Meta) -> Result<(), Refusal> {
        set_meta(self.root.as_fd(), meta).map_err(|e| failed(&[], "set metadata", e))?;
        self.times.push((b".".to_vec(), meta.mtime));
        self.implied.remove(b".".as_slice());
        Ok(())
    }

    /// Makes a file with the entry's content.
    pub fn file(
        &mut self,
        dir: &Path,
        name: &[u8],
        meta: &Meta,
        sparse: Option<&Sparse>,
        content: &mut impl Read,
    ) -> Result<(), Failure> {
        let file = self.replace(dir, name, |parent, name| {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            rustix::fs::openat(parent, name, flags, Mode::RUSR | Mode::WUSR)
        })?;
        let path = join(dir, name);
        let mut size = 0;
        match sparse {
            None => size = self.write(&file, &path, 0, u64::MAX, content)?,
            Some(sparse) => {
                for segment in &sparse.segments {
                    let end = self.write(&file, &path, segment.at, segment.length, content)?;
                    if end != segment.at + segment.length {
                        return Err(invalid(&path, "is a sparse file that ends early").into());
                    }
                }
                size = size.max(sparse.size);
            }
        }
        // Also what ends with a hole.
        rustix::fs::ftruncate(&file, size).map_err(|e| failed(&path, "set the size", e))?;
        set_meta(file.as_fd(), meta).map_err(|e| failed(&path, "set metadata", e))?;
        rustix::fs::futimens(&file, &both_times(meta.mtime)).map_err(|e| failed(&path, "set time", e))?;
        Ok(())
    }

    /// Writes at most so many bytes of the content; zeros become holes, so that an image of an empty disk takes no
    /// room. The end of what there was.
    fn write(
        &mut self,
        file: &OwnedFd,
        path: &Path,
        mut at: u64,
        mut left: u64,
        content: &mut impl Read,
    ) -> Result<u64, Failure> {
        let mut buffer = vec![0; BUFFER];
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(BUFFER).min(BUFFER);
            let n = fill(content, &mut buffer[..most]).map_err(Failure::Read)?;
            if n == 0 {
                break;
            }
            if buffer[..n].iter().any(|b| *b != 0) {
                // Blocks are whole.
                self.charge((n as u64).next_multiple_of(4096), 0)?;
                write_all(file, &buffer[..n], at).map_err(|e| failed(path, "write", e))?;
            }
            (at, left) = (at + n as u64, left - n as u64);
        }
        Ok(at)
    }

    /// Makes a directory, or gives an existing one new metadata.
    pub fn directory(&mut self, dir: &Path, name: &[u8], meta: &Meta) -> Result<(), Refusal> {
        let path = join(dir, name);
        let parent = self.parent(dir)?;
        let fd = match open_dir(parent, name) {
            Ok(fd) => fd,
            Err(_) => self.make_directory(dir, name)?,
        };
        set_meta(fd.as_fd(), meta).map_err(|e| failed(&path, "set metadata", e))?;
        self.charge(4096, 0)?;
        self.implied.remove(&path.join(&b'/'));
        self.times.push((path.join(&b'/'), meta.mtime));
        Ok(())
    }

    /// A directory where none was. In the place of a whiteout it hides the lower one as a whole.
    fn make_directory(&mut self, dir: &Path, name: &[u8]) -> Result<OwnedFd, Refusal> {
        let path = join(dir, name);
        let hides = is_whiteout(self.parent(dir)?, name);
        self.replace(dir, name, |parent, name| {
            rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o755))?;
            open_dir(parent, name)
        })
        .and_then(|fd| {
            if hides {
                self.opaque.insert(path.join(&b'/'));
            }
            // Without an entry of its own it belongs to root.
            rustix::fs::fchown(&fd, Some(Uid::ROOT), Some(Gid::ROOT)).map_err(|e| failed(&path, "chown", e))?;
            Ok(fd)
        })
    }

    /// Makes a symbolic link. Its text is data: it means something only inside the container.
    pub fn symlink(&mut self, dir: &Path, name: &[u8], text: &[u8], meta: &Meta) -> Result<(), Refusal> {
        self.replace(dir, name, |parent, name| rustix::fs::symlinkat(text, parent, name))?;
        self.set_by_name(dir, name, meta)
    }

    /// Makes a hard link to a file of this layer. The target may be written with dots: they lead nowhere but below the
    /// root.
    pub fn hard_link(&mut self, dir: &Path, name: &[u8], target: &[u8]) -> Result<(), Refusal> {
        let path = join(dir, name);
        let parts = target.split(|b| *b == b'/').filter(|part| !matches!(*part, b"" | b"."));
        let target: &Path = &parts.collect::<Vec<_>>();
        let Some((old, old_dir)) = target.split_last().filter(|(old, _)| **old != b"..") else {
            return Err(invalid(&path, "is a hard link to a directory"));
        };
        let old_parent = open_in_root(&self.root, &old_dir.join(&b'/'))
            .map_err(|e| failed(&path, &format!("find the hard link's target {:?}", lossy(target)), e))?;
        if target == path.as_slice() {
            return Ok(());
        }
        self.replace(dir, name, |parent, name| rustix::fs::linkat(&old_parent, *old, parent, name, AtFlags::empty()))
            .map_err(|r| Refusal { text: format!("{} (hard link to {:?})", r.text, lossy(target)), ..r })
    }

    /// Makes a named pipe.
    pub fn fifo(&mut self, dir: &Path, name: &[u8], meta: &Meta) -> Result<(), Refusal> {
        self.replace(dir, name, |parent, name| {
            rustix::fs::mknodat(parent, name, FileType::Fifo, Mode::from_raw_mode(0o600), 0)
        })?;
        self.set_by_name(dir, name, meta)?;
        let mode = Mode::from_raw_mode(meta.mode as RawMode);
        let path = join(dir, name);
        // The name was made just now and nobody else is here: it is no link.
        rustix::fs::chmodat(self.parent(dir)?, name, mode, AtFlags::empty()).map_err(|e| failed(&path, "chmod", e))
    }

    /// Hides a name of lower layers. What this layer itself has under that name stays.
    pub fn whiteout(&mut self, dir: &Path, name: &[u8]) -> Result<(), Refusal> {
        let path = join(dir, name);
        match rustix::fs::statat(self.parent(dir)?, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) if FileType::from_raw_mode(found.st_mode) == FileType::Directory => {
                self.implied.remove(&path.join(&b'/'));
                self.opaque.insert(path.join(&b'/'));
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(Errno::NOENT) => self.replace(dir, name, |parent, name| {
                rustix::fs::mknodat(parent, name, FileType::CharacterDevice, Mode::empty(), rustix::fs::makedev(0, 0))
            }),
            Err(e) => Err(failed(&path, "look up", e)),
        }
    }

    /// Hides all that lower layers have in a directory.
    pub fn opaque(&mut self, dir: &Path) -> Result<(), Refusal> {
        self.parent(dir)?;
        self.opaque.insert(if dir.is_empty() { b".".to_vec() } else { dir.join(&b'/') });
        Ok(())
    }

    /// Counts a device node that is left out.
    pub fn skip_device(&mut self) {
        self.devices += 1;
    }

    /// Sets the times of directories.
    pub fn finish(mut self) -> Result<Done, Refusal> {
        self.last = None;
        for (path, time) in self.times.drain(..) {
            match open_in_root(&self.root, &path) {
                Ok(dir) => rustix::fs::utimensat(&dir, ".", &both_times(time), AtFlags::empty())
                    .map_err(|e| failed(&[&path], "set time", e))?,
                // Replaced later in the same layer.
                Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(e) => return Err(failed(&[&path], "set time", e)),
            }
        }
        let opaque = self.opaque.into_iter().collect();
        let root = &self.root;
        // What was replaced later is no directory any more.
        let implied = self.implied.into_iter().filter(|path| open_plain(root, path).is_ok()).collect();
        Ok(Done { bytes: self.bytes, inodes: self.inodes, opaque, implied, devices: self.devices })
    }

    fn charge(&mut self, bytes: u64, inodes: u64) -> Result<(), Refusal> {
        let before = self.bytes / LOOK_EVERY;
        self.bytes += bytes;
        self.inodes += inodes;
        if self.bytes / LOOK_EVERY != before {
            check_disk(&self.root)?;
        }
        let (what, limit) = match () {
            () if self.bytes > self.limits.bytes => ("bytes", self.limits.bytes),
            () if self.inodes > self.limits.inodes => ("inodes", self.limits.inodes),
            () => return Ok(()),
        };
        Err(Refusal { kind: RefusalKind::Exhausted, text: format!("layer: more than {limit} {what}") })
    }

    /// Makes something under a name, in the place of what has that name.
    fn replace<T>(
        &mut self,
        dir: &Path,
        name: &[u8],
        make: impl Fn(BorrowedFd<'_>, &[u8]) -> Result<T, Errno>,
    ) -> Result<T, Refusal> {
        self.charge(0, 1)?;
        check_length(&join(dir, name))?;
        let parent = self.parent(dir)?;
        match make(parent, name) {
            Err(Errno::EXIST) => {
                remove(parent, name).map_err(|e| failed(&join(dir, name), "replace", e))?;
                let made = make(parent, name).map_err(|e| failed(&join(dir, name), "make", e));
                // It may have been the directory that the cache holds, or lie above it.
                self.last = None;
                made
            }
            other => other.map_err(|e| failed(&join(dir, name), "make", e)),
        }
    }

    fn set_by_name(&mut self, dir: &Path, name: &[u8], meta: &Meta) -> Result<(), Refusal> {
        let (uid, gid) = (Uid::from_raw(meta.uid), Gid::from_raw(meta.gid));
        let path = join(dir, name);
        let parent = self.parent(dir)?;
        rustix::fs::chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|e| failed(&path, "chown", e))?;
        rustix::fs::utimensat(parent, name, &both_times(meta.mtime), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|e| failed(&path, "set time", e))
    }

    /// Where a directory really is, links followed; made if it is missing. All else here takes such a place.
    pub fn place(&mut self, dir: &Path) -> Result<Vec<Vec<u8>>, Refusal> {
        let raw = dir.join(&b'/');
        if let Some(last) = self.last.as_ref().filter(|last| last.raw == raw) {
            return Ok(last.real.clone());
        }
        check_length(dir)?;
        let (real, fd) = match open_plain(&self.root, &raw) {
            Ok(fd) => (dir.iter().map(|part| part.to_vec()).collect(), fd),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => self.make_place(dir)?,
            Err(e) => return Err(failed(dir, "open the directory", e)),
        };
        self.last = Some(Last { raw, real: real.clone(), fd });
        Ok(real)
    }

    /// The descriptor of a place.
    fn parent(&mut self, dir: &Path) -> Result<BorrowedFd<'_>, Refusal> {
        self.place(dir)?;
        Ok(self.last.as_ref().map_or(self.root.as_fd(), |last| last.fd.as_fd()))
    }

    /// Goes component by component. A link to a directory that only a lower layer has leads to where it points, and the
    /// directory is made there.
    fn make_place(&mut self, dir: &Path) -> Result<(Vec<Vec<u8>>, OwnedFd), Refusal> {
        let mut ahead: Vec<Vec<u8>> = dir.iter().rev().map(|part| part.to_vec()).collect();
        let (mut real, mut links): (Vec<Vec<u8>>, u32) = (Vec::new(), 0);
        while let Some(name) = ahead.pop() {
            if name == b".." {
                real.pop();
                continue;
            }
            let upper: Vec<&[u8]> = real.iter().map(Vec::as_slice).collect();
            let path = join(&upper, &name);
            check_length(&path)?;
            let fd = open_plain(&self.root, &upper.join(&b'/')).map_err(|e| failed(&path, "open", e))?;
            let kind = rustix::fs::statat(&fd, name.as_slice(), AtFlags::SYMLINK_NOFOLLOW)
                .map(|found| FileType::from_raw_mode(found.st_mode));
            match kind {
                Ok(FileType::Directory) => {}
                Ok(FileType::Symlink) if links < MAX_LINKS => {
                    let text = rustix::fs::readlinkat(&fd, name.as_slice(), Vec::new())
                        .map_err(|e| failed(&path, "follow", e))?;
                    if text.as_bytes().starts_with(b"/") {
                        real.clear();
                    }
                    let parts = text.as_bytes().split(|b| *b == b'/').filter(|part| !matches!(*part, b"" | b"."));
                    ahead.extend(parts.rev().map(<[u8]>::to_vec));
                    links += 1;
                    continue;
                }
                Ok(FileType::Symlink) => return Err(failed(&path, "follow", Errno::LOOP)),
                Err(Errno::NOENT) => {
                    drop(self.make_directory(&upper, &name)?);
                    self.imply(path.join(&b'/'))?;
                }
                // What lower layers have there is hidden anyway.
                Ok(_) if is_whiteout(fd.as_fd(), &name) => drop(self.make_directory(&upper, &name)?),
                Ok(_) => return Err(invalid(&path, "is no directory, but another entry lies below it")),
                Err(e) => return Err(failed(&path, "look up", e)),
            }
            real.push(name);
        }
        let upper: Vec<&[u8]> = real.iter().map(Vec::as_slice).collect();
        let fd = open_plain(&self.root, &upper.join(&b'/')).map_err(|e| failed(&upper, "open the directory", e))?;
        Ok((real, fd))
    }

    /// Notes a directory that has no entry of its own.
    fn imply(&mut self, path: Vec<u8>) -> Result<(), Refusal> {
        self.implied_bytes += path.len();
        self.implied.insert(path);
        if self.implied_bytes > MAX_IMPLIED {
            let text = "layer: names too many directories only by what is in them".to_owned();
            return Err(Refusal { kind: RefusalKind::Exhausted, text });
        }
        Ok(())
    }
}
