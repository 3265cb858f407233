//! A walk over a tree that others may change meanwhile.
//!
//! It holds one descriptor and goes up by `..`. For the way back it remembers where it was in the nearest directories
//! above; in those that are farther it looks for the child that it comes from. A tree that is moved while it is walked
//! must not lead out of its root: every step up is compared with what was there on the way down.

use std::collections::VecDeque;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Stat};
use rustix::io::Errno;

use crate::entries::{Buffer, go_to, open_dir};

/// Directories above the present one of which the place is remembered: 24 bytes each.
const REMEMBERED: usize = 1 << 16;

/// What a walk is for.
pub trait Visitor {
    /// An entry of a directory, which is never followed. True: if it is a directory, go into it.
    ///
    /// # Errors
    /// Whatever ends the walk.
    fn entry(&mut self, dir: BorrowedFd<'_>, name: &CStr, found: &Stat) -> io::Result<bool>;

    /// The directory that was gone into last has been seen.
    ///
    /// # Errors
    /// Whatever ends the walk.
    fn left(&mut self) -> io::Result<()>;
}

/// How far a walk came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// Everything that was there all the time.
    Whole,
    /// Directories were moved meanwhile: a part was not seen.
    Torn,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Id {
    device: u64,
    inode: u64,
}

struct Above {
    id: Id,
    /// Behind the child that the walk is in.
    position: u64,
}

/// Walks everything below a directory, in the order of the file system; mounts below are not entered.
///
/// # Errors
/// Those of the visitor, and of reading a directory. What vanishes meanwhile is none.
pub fn walk(root: BorrowedFd<'_>, visitor: &mut impl Visitor) -> io::Result<Seen> {
    let root = open_dir(root, c".")?;
    let top = id(&root)?;
    let mut walk = Walk { dir: root, top, above: VecDeque::new(), depth: 0, buffer: Buffer::new() };
    loop {
        if let Some((child, position)) = walk.next_directory(visitor)? {
            walk.go_down(child, position)?;
            continue;
        }
        if walk.depth == 0 {
            return Ok(Seen::Whole);
        }
        visitor.left()?;
        if !walk.go_up()? {
            return Ok(Seen::Torn);
        }
    }
}

struct Walk {
    dir: OwnedFd,
    top: Id,
    /// The nearest ones, the nearest last.
    above: VecDeque<Above>,
    depth: u64,
    buffer: Buffer,
}

impl Walk {
    /// Shows entries from here on, up to a directory that is to be entered; that one, and the position behind it.
    fn next_directory(&mut self, visitor: &mut impl Visitor) -> io::Result<Option<(OwnedFd, u64)>> {
        loop {
            let dir = self.dir.as_fd();
            let entered = self.buffer.find(dir, |name, _, position| {
                let found = match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
                    Err(Errno::NOENT) => return Ok(None),
                    other => other?,
                };
                let is_dir = FileType::from_raw_mode(found.st_mode) == FileType::Directory;
                Ok((visitor.entry(dir, name, &found)? && is_dir).then(|| (name.to_owned(), position)))
            })?;
            let Some((name, position)) = entered else { return Ok(None) };
            match open_dir(dir, &name) {
                Ok(child) if id(&child)?.device == self.top.device => return Ok(Some((child, position))),
                // A mount, or nothing any more: it was shown, and there is nothing to see in it.
                Ok(_) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => visitor.left()?,
                Err(error) => return Err(error.into()),
            }
            go_to(&self.dir, position)?;
        }
    }

    fn go_down(&mut self, child: OwnedFd, position: u64) -> io::Result<()> {
        if self.above.len() == REMEMBERED {
            self.above.pop_front();
        }
        self.above.push_back(Above { id: id(&self.dir)?, position });
        self.depth += 1;
        self.dir = child;
        Ok(())
    }

    /// False: what is above is not what was above.
    fn go_up(&mut self) -> io::Result<bool> {
        let child = id(&self.dir)?;
        let parent = open_dir(self.dir.as_fd(), c"..")?;
        let now = id(&parent)?;
        self.depth -= 1;
        if (now == self.top) != (self.depth == 0) {
            return Ok(false);
        }
        let position = match self.above.pop_back() {
            Some(above) if above.id == now => Some(above.position),
            Some(_) => None,
            None => {
                let same = |_: &CStr, inode, position| Ok((inode == child.inode).then_some(position));
                self.buffer.find(parent.as_fd(), same)?
            }
        };
        let Some(position) = position else { return Ok(false) };
        go_to(&parent, position)?;
        self.dir = parent;
        Ok(true)
    }
}

fn id(dir: &OwnedFd) -> io::Result<Id> {
    let found = rustix::fs::fstat(dir)?;
    Ok(Id { device: found.st_dev, inode: found.st_ino })
}
