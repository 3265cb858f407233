//! The layer's tree as it grows. All names are resolved below its root by the kernel (openat2, RESOLVE_IN_ROOT), the
//! last component is never followed, and everything that exists was made by this layer: the tree starts empty.

use std::collections::BTreeSet;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, RawMode, Timespec, Uid};
use rustix::io::Errno;

use super::report::{Failure, Limits, Refusal, RefusalKind};
use super::steps::{
    Meta, Path, both_times, failed, invalid, is_whiteout, join, link_target, lossy, open_dir, open_in_root, remove,
    set_meta, write_all,
};

/// What was made.
pub(crate) struct Done {
    pub bytes: u64,
    pub inodes: u64,
    pub opaque: Vec<Vec<u8>>,
    pub devices: u64,
}

/// The tree.
pub(crate) struct Tree {
    root: OwnedFd,
    /// The directory of the entry before: most have the same.
    last: Option<(Vec<u8>, OwnedFd)>,
    limits: Limits,
    bytes: u64,
    inodes: u64,
    devices: u64,
    /// Set at the end: each new entry changes its directory's time.
    times: Vec<(Vec<u8>, Timespec)>,
    opaque: BTreeSet<Vec<u8>>,
}

/// How deep links that lead to missing directories are followed, as the kernel's own limit.
const MAX_LINKS: u32 = 40;
const BUFFER: usize = 64 << 10;

impl Tree {
    /// The tree below `/` of this process.
    pub fn open(limits: &Limits) -> Result<Self, Refusal> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open("/", flags, Mode::empty()).map_err(|e| failed(&[], "open", e))?;
        rustix::fs::fchmod(&root, Mode::from_raw_mode(0o755)).map_err(|e| failed(&[], "chmod", e))?;
        rustix::fs::fchown(&root, Some(Uid::ROOT), Some(Gid::ROOT)).map_err(|e| failed(&[], "chown", e))?;
        let (times, opaque) = (Vec::new(), BTreeSet::new());
        Ok(Tree { root, last: None, limits: *limits, bytes: 0, inodes: 1, devices: 0, times, opaque })
    }

    /// Gives the root its metadata.
    pub fn root(&mut self, meta: &Meta) -> Result<(), Refusal> {
        set_meta(self.root.as_fd(), meta).map_err(|e| failed(&[], "set metadata", e))?;
        self.times.push((b".".to_vec(), meta.mtime));
        Ok(())
    }

    /// Makes a file with the entry's content.
    pub fn file(&mut self, dir: &Path, name: &[u8], meta: &Meta, content: &mut impl Read) -> Result<(), Failure> {
        let file = self.replace(dir, name, |parent, name| {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            rustix::fs::openat(parent, name, flags, Mode::RUSR | Mode::WUSR)
        })?;
        let mut buffer = vec![0; BUFFER];
        let mut size = 0;
        loop {
            let n = content.read(&mut buffer).map_err(Failure::Read)?;
            if n == 0 {
                break;
            }
            size += n as u64;
            self.charge(n as u64, 0)?;
            write_all(&file, &buffer[..n]).map_err(|e| failed(&join(dir, name), "write", e))?;
        }
        // Blocks are whole.
        self.charge(size.next_multiple_of(4096) - size, 0)?;
        set_meta(file.as_fd(), meta).map_err(|e| failed(&join(dir, name), "set metadata", e))?;
        rustix::fs::futimens(&file, &both_times(meta.mtime)).map_err(|e| failed(&join(dir, name), "set time", e))?;
        Ok(())
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

    /// Makes a hard link to a file of this layer.
    pub fn hard_link(&mut self, dir: &Path, name: &[u8], target: &Path) -> Result<(), Refusal> {
        let path = join(dir, name);
        let Some((old, old_dir)) = target.split_last() else {
            return Err(invalid(&path, "is a hard link to the root"));
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
        Ok(Done { bytes: self.bytes, inodes: self.inodes, opaque, devices: self.devices })
    }

    fn charge(&mut self, bytes: u64, inodes: u64) -> Result<(), Refusal> {
        self.bytes += bytes;
        self.inodes += inodes;
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
        let parent = self.parent(dir)?;
        match make(parent, name) {
            Err(Errno::EXIST) => {
                remove(parent, name, 0).map_err(|e| failed(&join(dir, name), "replace", e))?;
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

    /// The directory with that path, made if it is missing.
    fn parent(&mut self, dir: &Path) -> Result<BorrowedFd<'_>, Refusal> {
        let path = dir.join(&b'/');
        if self.last.as_ref().is_none_or(|(last, _)| *last != path) {
            let fd = match open_in_root(&self.root, &path) {
                Ok(fd) => fd,
                Err(Errno::NOENT | Errno::NOTDIR) => self.make_parents(dir, 0)?,
                Err(e) => return Err(failed(dir, "open the directory", e)),
            };
            self.last = Some((path, fd));
        }
        match &self.last {
            Some((_, fd)) => Ok(fd.as_fd()),
            None => Ok(self.root.as_fd()),
        }
    }

    fn make_parents(&mut self, dir: &Path, links: u32) -> Result<OwnedFd, Refusal> {
        for end in 1..=dir.len() {
            let (path, upper, name) = (&dir[..end], &dir[..end - 1], dir[end - 1]);
            if open_in_root(&self.root, &path.join(&b'/')).is_ok() {
                continue;
            }
            let parent = open_in_root(&self.root, &upper.join(&b'/')).map_err(|e| failed(path, "open", e))?;
            match rustix::fs::readlinkat(&parent, name, Vec::new()) {
                // A link to a directory that only a lower layer has: it is made where the link points.
                Ok(text) if links < MAX_LINKS => {
                    let target = link_target(upper, text.as_bytes());
                    let parts: Vec<&[u8]> = target.iter().map(Vec::as_slice).collect();
                    self.make_parents(&parts, links + 1)?;
                }
                Ok(_) => return Err(failed(path, "follow", Errno::LOOP)),
                Err(Errno::NOENT) => drop(self.make_directory(upper, name)?),
                Err(Errno::INVAL) if is_whiteout(parent.as_fd(), name) => drop(self.make_directory(upper, name)?),
                Err(_) => return Err(invalid(path, "is no directory, but another entry lies below it")),
            }
        }
        self.last = None;
        open_in_root(&self.root, &dir.join(&b'/')).map_err(|e| failed(dir, "open the directory", e))
    }
}
