//! One entry of a layer's tar.

use std::io::Read;

use tar::EntryType;

use super::report::{Failure, Refusal};
use super::steps::{Meta, Path, invalid, path_of};
use super::stream::{Item, Stream};
use super::tree::Tree;

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Other names that aufs uses itself; they mean nothing in an overlay.
const AUFS: &[u8] = b".wh..wh.";

/// Applies an entry; its content is what `stream` reads.
pub(crate) fn apply<R: Read>(tree: &mut Tree, item: &Item, stream: &mut Stream<R>) -> Result<(), Failure> {
    let path = path_of(&item.path)?;
    let Some((name, dir)) = path.split_last() else {
        return Ok(tree.root(&meta(item))?);
    };
    if name.starts_with(AUFS) && *name != OPAQUE {
        return Ok(());
    }
    let place = tree.place(dir)?;
    let dir: &Path = &place.iter().map(Vec::as_slice).collect::<Vec<_>>();
    if name.starts_with(WHITEOUT) {
        return Ok(whiteout(tree, dir, name)?);
    }
    let meta = meta(item);
    match item.kind {
        EntryType::Regular | EntryType::Continuous => return tree.file(dir, name, &meta, item.sparse.as_ref(), stream),
        EntryType::Directory => tree.directory(dir, name, &meta)?,
        EntryType::Symlink => tree.symlink(dir, name, &item.link, &meta)?,
        EntryType::Link => tree.hard_link(dir, name, &item.link)?,
        EntryType::Fifo => tree.fifo(dir, name, &meta)?,
        // Containers get their devices from the runtime, in a /dev of their own; a node in a layer would only be a way
        // to the host's devices. The one exception is overlay's own form of a whiteout.
        EntryType::Char if item.device == (0, 0) => tree.whiteout(dir, name)?,
        EntryType::Char | EntryType::Block => tree.skip_device(),
        other => return Err(invalid(&path, &format!("has the unknown type {:?}", other.as_byte() as char)).into()),
    }
    Ok(())
}

fn whiteout(tree: &mut Tree, dir: &[&[u8]], name: &[u8]) -> Result<(), Refusal> {
    if name == OPAQUE {
        return tree.opaque(dir);
    }
    match &name[WHITEOUT.len()..] {
        b"" | b"." | b".." => Err(invalid(&[dir, &[name]].concat(), "is a whiteout of nothing")),
        hidden => tree.whiteout(dir, hidden),
    }
}

/// Ids above 2^31-1 are nobody's: Kubernetes has none, and chown(2) takes the last of them for "no change", so that
/// other runtimes leave such files to root too.
fn owner(id: u64) -> u32 {
    u32::try_from(id).ok().filter(|id| *id <= i32::MAX as u32).unwrap_or(0)
}

fn meta(item: &Item) -> Meta {
    let (uid, gid) = (owner(item.uid), owner(item.gid));
    // What becomes root's does not become root's setuid program.
    let known = u64::from(uid) == item.uid && u64::from(gid) == item.gid;
    let mode = if known { item.mode } else { item.mode & 0o1777 };
    let xattrs = item.xattrs.iter().filter(|(name, _)| is_kept(name)).cloned().collect();
    Meta { uid, gid, mode, mtime: item.mtime, xattrs }
}

/// `trusted.*` and what overlay uses itself could change how layers stack; `security.*` other than file capabilities
/// belongs to the node's own security modules: both are dropped.
fn is_kept(name: &[u8]) -> bool {
    name == b"security.capability"
        || name.starts_with(b"system.posix_acl_")
        || name.starts_with(b"user.") && !name.starts_with(b"user.overlay.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_that_are_no_users_are_root() {
        assert_eq!([0, 1000, 2_147_483_647].map(owner), [0, 1000, 2_147_483_647]);
        assert_eq!([2_147_483_648, 4_294_967_295, 1 << 40].map(owner), [0, 0, 0]);
    }

    #[test]
    fn attributes_that_steer_overlay_or_the_node_are_dropped() {
        for kept in ["security.capability", "user.mime_type", "system.posix_acl_access"] {
            assert!(is_kept(kept.as_bytes()), "{kept}");
        }
        for dropped in
            ["trusted.overlay.opaque", "user.overlay.redirect", "security.selinux", "security.ima", "btrfs.x"]
        {
            assert!(!is_kept(dropped.as_bytes()), "{dropped}");
        }
    }
}
