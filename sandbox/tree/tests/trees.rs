//! Trees as tenants make them: too deep, too wide, with odd names, and with links that lead out.

#![allow(clippy::unwrap_used)]

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use cofferdam_test_support::eventually;
use cofferdam_tree::{Copied, Seen, Trash, copy, measure, remove};
use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};

/// More levels than a walk remembers, and far more than any stack or path takes.
const DEEP: usize = 70_000;

/// In memory where there is such a place: on a disk, a directory may take milliseconds to remove.
fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn open(path: &Path) -> OwnedFd {
    openat(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap()
}

/// A chain of directories with a file in each `every`th.
fn dig(path: &Path, levels: usize, every: usize) {
    fs::create_dir(path).unwrap();
    let mut dir = open(path);
    for level in 1..=levels {
        if level % every == 0 {
            openat(&dir, "file", OFlags::CREATE | OFlags::WRONLY, Mode::RUSR).unwrap();
        }
        mkdirat(&dir, "d", Mode::RWXU).unwrap();
        dir = openat(&dir, "d", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
    }
}

/// Runs on a stack that no recursion over `DEEP` levels fits into.
fn on_a_small_stack<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::Builder::new().stack_size(256 << 10).spawn(work).unwrap().join().unwrap()
}

fn entries(path: &Path) -> usize {
    fs::read_dir(path).map_or(0, Iterator::count)
}

#[test]
fn a_deep_tree_is_removed_and_nothing_stays_beside_it() {
    let dir = scratch();
    let tree = dir.path().join("tree");
    dig(&tree, DEEP, 100);
    on_a_small_stack(move || remove(&tree)).unwrap();
    assert_eq!(entries(dir.path()), 0);
    remove(&dir.path().join("tree")).unwrap();
    remove(&dir.path().join("absent/tree")).unwrap();
}

#[test]
fn what_a_removal_left_behind_is_removed_by_the_next_one() {
    let dir = scratch();
    fs::create_dir_all(dir.path().join(".removing-tree/0/a/b")).unwrap();
    remove(&dir.path().join("tree")).unwrap();
    assert_eq!(entries(dir.path()), 0);
}

#[test]
fn wide_directories_odd_names_and_links_go_and_what_they_point_at_stays() {
    let dir = scratch();
    let (tree, outside) = (dir.path().join("tree"), dir.path().join("outside"));
    fs::create_dir_all(tree.join("a")).unwrap();
    fs::write(&outside, "stays").unwrap();
    symlink(&outside, tree.join("link")).unwrap();
    symlink(dir.path(), tree.join("a/up")).unwrap();
    fs::create_dir_all(tree.join(OsStr::from_bytes(b"\xff\n/x"))).unwrap();
    fs::create_dir_all(tree.join("d".repeat(255)).join("e")).unwrap();
    for n in 0..25_000 {
        File::create(tree.join(n.to_string())).unwrap();
    }
    remove(&tree).unwrap();
    assert_eq!(entries(dir.path()), 1);
    assert_eq!(fs::read_to_string(outside).unwrap(), "stays");
}

#[test]
fn a_discarded_tree_frees_its_name_at_once_and_goes_in_the_background() {
    let dir = scratch();
    let (tree, bin) = (dir.path().join("tree"), dir.path().join("trash"));
    let trash = Trash::new(bin.clone());
    for _ in 0..3 {
        dig(&tree, 2000, 10);
        trash.discard(&tree).unwrap();
        assert!(!tree.exists());
    }
    trash.discard(&tree).unwrap();
    trash.discard(&dir.path().join("absent/tree")).unwrap();
    eventually("the trash is empty", || entries(&bin) == 0).unwrap();
}

#[test]
fn what_an_earlier_daemon_left_in_the_trash_goes_when_the_next_one_starts() {
    let dir = scratch();
    let bin = dir.path().join("trash");
    fs::create_dir_all(bin.join("left/a/b/c")).unwrap();
    fs::write(bin.join("file"), "x").unwrap();
    Trash::new(bin.clone()).empty().unwrap();
    eventually("the trash is empty", || entries(&bin) == 0).unwrap();
}

#[test]
fn a_deep_tree_is_measured_whole() {
    let dir = scratch();
    let tree = dir.path().join("tree");
    dig(&tree, DEEP, 100);
    fs::create_dir_all(tree.join("z/y")).unwrap();
    fs::write(tree.join("z/y/file"), vec![1; 100_000]).unwrap();
    let (size, seen) = on_a_small_stack({
        let tree = tree.clone();
        move || measure(open(&tree).as_fd()).unwrap()
    });
    remove(&tree).unwrap();
    let expected = (1 + DEEP + DEEP / 100 + 3) as u64;
    assert_eq!((size.inodes, seen), (expected, Seen::Whole));
    assert!(size.bytes >= 100_000);
}

#[test]
fn a_copy_is_bounded_however_often_one_file_is_named() {
    let dir = scratch();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    fs::create_dir(&from).unwrap();
    fs::write(from.join("0"), vec![1; 1 << 20]).unwrap();
    (1..20).for_each(|n| fs::hard_link(from.join("0"), from.join(n.to_string())).unwrap());
    for most in [Copied { bytes: 10 << 20, inodes: 1000 }, Copied { bytes: 1 << 30, inodes: 10 }] {
        fs::create_dir(&to).unwrap();
        let error = copy(open(&from).as_fd(), open(&to).as_fd(), most).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::QuotaExceeded, "{error}");
        assert!(fs::read_dir(&to).unwrap().count() <= 10);
        fs::remove_dir_all(&to).unwrap();
    }
}

#[test]
fn a_copy_has_content_holes_modes_and_times() {
    let dir = scratch();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    fs::create_dir_all(from.join("a/b")).unwrap();
    fs::create_dir(&to).unwrap();
    fs::write(from.join("a/file"), "content").unwrap();
    symlink("/etc/passwd", from.join("a/link")).unwrap();
    let disk = File::create(from.join("disk")).unwrap();
    disk.set_len(64 << 20).unwrap();
    std::os::unix::fs::FileExt::write_at(&disk, b"end", (64 << 20) - 3).unwrap();
    fs::set_permissions(from.join("a"), fs::Permissions::from_mode(0o1750)).unwrap();
    fs::set_permissions(&from, fs::Permissions::from_mode(0o700)).unwrap();
    copy(open(&from).as_fd(), open(&to).as_fd(), Copied { bytes: u64::MAX, inodes: u64::MAX }).unwrap();
    let of = |path: &Path| {
        let m = fs::symlink_metadata(path).unwrap();
        (m.mode(), m.uid(), m.gid(), m.mtime(), m.mtime_nsec())
    };
    for name in ["", "a", "a/b", "a/file", "a/link", "disk"] {
        assert_eq!(of(&to.join(name)), of(&from.join(name)), "{name}");
    }
    assert_eq!(fs::read_to_string(to.join("a/file")).unwrap(), "content");
    assert_eq!(fs::read_link(to.join("a/link")).unwrap(), Path::new("/etc/passwd"));
    assert!(fs::read(to.join("disk")).unwrap().ends_with(b"\0end"));
    assert!(fs::metadata(to.join("disk")).unwrap().blocks() * 512 < 1 << 20);
}
