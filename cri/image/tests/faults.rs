//! Deaths and full disks.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use cofferdam_image::{ImageError, ImageService};
use cofferdam_test_support::{eventually, needs};
use support::image::sha256;
use support::{Fault, Image, Packed, Registry, Tar, files, image, open};

const ROOT: &str = "TEST_KILLED_ROOT";
const REFERENCE: &str = "TEST_KILLED_REFERENCE";

fn noise(seed: u32, size: usize) -> Vec<u8> {
    let mut x = seed;
    let next = || {
        x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (x >> 24) as u8
    };
    std::iter::repeat_with(next).take(size).collect()
}

fn big() -> Image {
    let many = (0..200).fold(Tar::new(), |tar, i| tar.file(&format!("d/f{i}"), 0o644, &noise(i, 5000)));
    image(&[(many.bytes(), Packed::Gzip)])
}

/// What the process does that is killed: the test below, run by itself with a task.
async fn pull_until_killed(root: &str, reference: &str) -> ! {
    let mut config = support::config(Path::new(root));
    config.stall_timeout = Duration::from_secs(60);
    let pulled = ImageService::open(config).unwrap().pull(reference, None).await;
    panic!("the pull ended before it was killed: {pulled:?}");
}

#[needs(root)]
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_in_the_middle_of_an_unpack_loses_nothing_but_the_layer() {
    if let (Ok(root), Ok(reference)) = (std::env::var(ROOT), std::env::var(REFERENCE)) {
        pull_until_killed(&root, &reference).await;
    }
    let (dir, registry, image) = (tempfile::tempdir().unwrap(), Registry::start().await, big());
    registry.put("test/a", "1", &image);
    let half = image.layers[0].len() / 2;
    registry.fail(&sha256(&image.layers[0]), 1, Fault::Stall(half));
    drop(open(dir.path()));
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "a_kill_in_the_middle_of_an_unpack_loses_nothing_but_the_layer"])
        .env(ROOT, dir.path())
        .env(REFERENCE, registry.reference("test/a:1"))
        .spawn()
        .unwrap();
    let ingest = dir.path().join("images/ingest").join(&sha256(&image.layers[0])[7..]);
    let unpacking = || {
        let layers = files(dir.path(), "layers");
        let begun = layers.first().is_some_and(|name| {
            std::fs::read_dir(dir.path().join("images/layers").join(name).join("d")).is_ok_and(|d| d.count() > 10)
        });
        begun && ingest.metadata().is_ok_and(|m| m.len() == half as u64)
    };
    eventually("the victim unpacks", unpacking).unwrap();
    victim.kill().unwrap();
    victim.wait().unwrap();
    let service = open(dir.path());
    assert!(files(dir.path(), "layers").is_empty() && service.list().is_empty());
    let pulled = service.pull(&registry.reference("test/a:1"), None).await.unwrap();
    assert_eq!(pulled.id, image.id());
    assert_eq!(registry.count(&format!("bytes={half}-")), 1, "{:?}", registry.requests());
    assert!(!ingest.exists());
}

/// A small file system, unmounted at the end.
struct Small(tempfile::TempDir);

impl Small {
    fn new(size: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = format!("size={size}");
        let none = nix::mount::MsFlags::empty();
        nix::mount::mount(Some("tmpfs"), dir.path(), Some("tmpfs"), none, Some(options.as_str())).unwrap();
        Small(dir)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = nix::mount::umount2(self.0.path(), nix::mount::MntFlags::MNT_DETACH);
    }
}

#[needs(root)]
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_said_and_leaves_nothing() {
    let (disk, registry) = (Small::new("512k"), Registry::start().await);
    let small = image(&[(Tar::new().file("f", 0o644, b"x").bytes(), Packed::Gzip)]);
    registry.put("test/small", "1", &small);
    registry.put("test/big", "1", &big());
    let service = open(disk.0.path());
    service.pull(&registry.reference("test/small:1"), None).await.unwrap();
    let error = service.pull(&registry.reference("test/big:1"), None).await.unwrap_err();
    assert!(matches!(&error, ImageError::Exhausted(text) if text.contains("No space left")), "{error}");
    assert_eq!((service.list().len(), files(disk.0.path(), "layers").len()), (1, 1));
    assert!(files(disk.0.path(), "ingest").is_empty());
    service.prepare_rootfs("c1", &small.id()).await.unwrap();
}

#[needs(root)]
#[tokio::test(flavor = "multi_thread")]
async fn a_missing_helper_is_named() {
    let (dir, registry) = (tempfile::tempdir().unwrap(), Registry::start().await);
    registry.put("test/a", "1", &big());
    let mut config = support::config(dir.path());
    config.helper.program = "/nonexistent/helper".into();
    let service = ImageService::open(config).unwrap();
    let error = service.pull(&registry.reference("test/a:1"), None).await.unwrap_err();
    assert!(matches!(&error, ImageError::Failed(text) if text.contains("/nonexistent/helper")), "{error}");
}
