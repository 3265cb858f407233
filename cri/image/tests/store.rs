//! What stays and what goes: removal, pins, containers' layers, kills.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use cofferdam_image::{ImageError, ImageService};
use cofferdam_test_support::needs;
use support::image::sha256;
use support::{Packed, Tar, files, image, open};

fn archive(dir: &std::path::Path, layers: &[&str], tag: &str) -> (std::path::PathBuf, support::Image) {
    let tars: Vec<_> =
        layers.iter().map(|text| (Tar::new().file("f", 0o644, text.as_bytes()).bytes(), Packed::Gzip)).collect();
    let image = image(&tars);
    let path = dir.join(format!("{}.tar", tag.replace(['/', ':'], "-")));
    std::fs::write(&path, image.docker_archive(tag)).unwrap();
    (path, image)
}

#[needs(root)]
#[tokio::test(flavor = "multi_thread")]
async fn archives_of_both_kinds_are_loaded_with_their_names() {
    let dir = tempfile::tempdir().unwrap();
    let service = open(dir.path());
    let (path, image) = archive(dir.path(), &["one", "two"], "local/a:1");
    let loaded = service.load(&path).await.unwrap();
    assert_eq!((loaded[0].id.clone(), loaded[0].tags.clone()), (image.id(), vec!["docker.io/local/a:1".to_owned()]));
    let oci = dir.path().join("oci.tar");
    std::fs::write(&oci, image.oci_archive("r.example/b:2")).unwrap();
    assert_eq!(service.load(&oci).await.unwrap()[0].tags, ["r.example/b:2"]);
    assert_eq!(service.resolve("r.example/b:2").unwrap(), service.resolve("local/a:1").unwrap());
    service.tag("local/a:1", "c").await.unwrap();
    assert_eq!(service.status("c").unwrap().unwrap().repo_tags.len(), 3);
    let junk = dir.path().join("junk");
    std::fs::write(&junk, b"not a tar, but longer than nothing").unwrap();
    let error = service.load(&junk).await.unwrap_err();
    assert!(matches!(&error, ImageError::Invalid(text) if text.contains("junk")), "{error}");
}

#[needs(root)]
#[tokio::test(flavor = "multi_thread")]
async fn a_removed_image_leaves_nothing_but_what_containers_run_on() {
    let dir = tempfile::tempdir().unwrap();
    let service = open(dir.path());
    let (a, image_a) = archive(dir.path(), &["shared", "only a"], "a:1");
    let (b, _) = archive(dir.path(), &["shared", "only b"], "b:1");
    service.load(&a).await.unwrap();
    service.load(&b).await.unwrap();
    assert_eq!(files(dir.path(), "layers").len(), 3);
    assert!(service.fs_usage().unwrap().bytes >= 3 * 4096);
    service.prepare_rootfs("c1", &image_a.id()).await.unwrap();
    service.remove("a:1").await.unwrap();
    service.remove("a:1").await.unwrap();
    assert!(service.status("a:1").unwrap().is_none());
    assert_eq!(files(dir.path(), "layers").len(), 3);
    drop(service);
    let service = open(dir.path());
    assert_eq!(files(dir.path(), "layers").len(), 3);
    assert_eq!(service.rootfs_containers(), ["c1"]);
    service.remove_rootfs("c1").await.unwrap();
    service.remove_rootfs("c1").await.unwrap();
    service.gc().await.unwrap();
    assert_eq!(files(dir.path(), "layers").len(), 2);
    service.remove("b:1").await.unwrap();
    assert!(files(dir.path(), "layers").is_empty() && files(dir.path(), "blobs").is_empty());
}

#[needs(root)]
#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_image_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = support::config(dir.path());
    config.pinned = vec!["a:1".into()];
    let service = ImageService::open(config).unwrap();
    service.load(&archive(dir.path(), &["x"], "a:1").0).await.unwrap();
    assert!(service.list()[0].pinned);
    assert!(matches!(service.remove("a:1").await, Err(ImageError::Denied(_))));
    assert_eq!(service.list().len(), 1);
}

#[needs(root)]
#[tokio::test(flavor = "multi_thread")]
async fn the_next_start_removes_what_a_kill_has_left() {
    let dir = tempfile::tempdir().unwrap();
    let service = open(dir.path());
    let (path, image) = archive(dir.path(), &["x"], "a:1");
    service.load(&path).await.unwrap();
    drop(service);
    let images = dir.path().join("images");
    for left in ["layers/.new-0-aa/f", "layers/.old-1-bb", "snapshots/.old-0-c", "snapshots/half/upper"] {
        std::fs::create_dir_all(images.join(left)).unwrap();
    }
    std::fs::create_dir_all(images.join("layers").join("e".repeat(64))).unwrap();
    std::fs::write(images.join("blobs/dead"), b"x").unwrap();
    std::fs::write(images.join("images.part"), b"{").unwrap();
    let service = open(dir.path());
    assert_eq!((files(dir.path(), "layers").len(), files(dir.path(), "blobs").len()), (1, 1));
    assert!(files(dir.path(), "snapshots").is_empty());
    assert_eq!(service.resolve("a:1").unwrap(), image.id());
    drop(service);
    // A layer that is gone takes its image with it: it can be pulled again, but not run.
    std::fs::remove_dir_all(images.join("layers").join(&sha256(&image.tars[0])[7..])).unwrap();
    assert!(open(dir.path()).list().is_empty());
}

#[needs(root)]
#[tokio::test(flavor = "multi_thread")]
async fn a_rootfs_is_prepared_again_with_the_same_answer() {
    let dir = tempfile::tempdir().unwrap();
    let service = open(dir.path());
    let (path, image) = archive(dir.path(), &["x"], "a:1");
    service.load(&path).await.unwrap();
    let first = service.prepare_rootfs("c1", &image.id()).await.unwrap();
    std::fs::write(first.upper.join("kept"), b"x").unwrap();
    assert_eq!(service.prepare_rootfs("c1", &image.id()).await.unwrap(), first);
    assert!(first.upper.join("kept").exists());
    assert!(service.usage("c1").unwrap().inodes > 0 && service.usage("c2").is_none());
    assert!(matches!(service.prepare_rootfs("c2", "sha256:none").await, Err(ImageError::NotFound(_))));
    assert!(matches!(service.prepare_rootfs("../c", &image.id()).await, Err(ImageError::Invalid(_))));
}
