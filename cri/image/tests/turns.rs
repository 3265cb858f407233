//! Pulls that are slow, and pulls that nobody waits for any more.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use std::time::Duration;

use cofferdam_image::{ImageError, ImageService};
use cofferdam_test_support::{eventually, needs};
use support::image::sha256;
use support::{Fault, Image, Packed, Registry, Tar, files, image};

/// Layers that do not compress.
fn noisy(layers: usize, size: usize) -> Image {
    let layer = |i: usize| {
        let mut x = i as u32;
        let next = || {
            x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (x >> 24) as u8
        };
        let noise: Vec<u8> = std::iter::repeat_with(next).take(size).collect();
        (Tar::new().file("f", 0o644, &noise).bytes(), Packed::Gzip)
    };
    image(&(1..=layers).map(layer).collect::<Vec<_>>())
}

/// A service with that window.
fn open(dir: &std::path::Path, window: Duration) -> ImageService {
    let mut config = support::config(dir);
    config.stall_timeout = window;
    ImageService::open(config).unwrap()
}

/// Nothing in these tests may end by itself.
const NEVER: Duration = Duration::from_secs(100_000);

#[needs(root)]
#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_trickles_keeps_no_other_image_waiting() {
    let (dir, registry) = (tempfile::tempdir().unwrap(), Registry::start().await);
    // More layers, of more images, than any node has turns.
    let (service, slow) = (open(dir.path(), NEVER), noisy(6, 50_000));
    for layer in &slow.layers {
        registry.fail(&sha256(layer), usize::MAX, Fault::Stall(0));
    }
    let mut trickling = Vec::new();
    for i in 0..20 {
        let name = format!("slow/image{i}");
        registry.put(&name, "1", &slow);
        let (service, name) = (service.clone(), registry.reference(&format!("{name}:1")));
        trickling.push(tokio::spawn(async move { service.pull(&name, None).await }));
    }
    eventually("the slow layers are asked for", || registry.count("blobs") >= 20).unwrap();
    registry.put("fast", "1", &noisy(2, 50_001));
    service.pull(&registry.reference("fast:1"), None).await.unwrap();
    assert!(trickling.iter().all(|pull| !pull.is_finished()));
    trickling.iter().for_each(tokio::task::JoinHandle::abort);
}

#[needs(root)]
#[tokio::test(flavor = "multi_thread")]
async fn a_pull_that_nobody_waits_for_ends_and_the_next_one_goes_on_where_it_was() {
    let (dir, registry, image) = (tempfile::tempdir().unwrap(), Registry::start().await, noisy(1, 600_000));
    registry.put("test/a", "1", &image);
    registry.fail(&sha256(&image.layers[0]), 1, Fault::Stall(200_000));
    let (service, name) = (open(dir.path(), NEVER), registry.reference("test/a:1"));
    let waiting = tokio::spawn({
        let (service, name) = (service.clone(), name.clone());
        async move { service.pull(&name, None).await }
    });
    let ingest = dir.path().join("images/ingest").join(&sha256(&image.layers[0])[7..]);
    eventually("a part of the layer is there", || ingest.metadata().is_ok_and(|m| m.len() == 200_000)).unwrap();
    waiting.abort();
    eventually("the layer is given up", || files(dir.path(), "layers").is_empty()).unwrap();
    service.pull(&name, None).await.unwrap();
    assert_eq!(registry.count("bytes=200000-"), 1, "{:?}", registry.requests());
}

#[needs(root)]
#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_judged_by_its_rate() {
    let (dir, registry, image) = (tempfile::tempdir().unwrap(), Registry::start().await, noisy(1, 600_000));
    registry.put("test/a", "1", &image);
    registry.fail(&sha256(&image.layers[0]), usize::MAX, Fault::Trickle(100, Duration::from_millis(100)));
    let error = open(dir.path(), Duration::from_secs(3)).pull(&registry.reference("test/a:1"), None).await.unwrap_err();
    assert!(matches!(&error, ImageError::Unavailable(text) if text.contains("bytes in 3 s")), "{error}");
    registry.fail("manifests", usize::MAX, Fault::Trickle(1, Duration::from_millis(100)));
    let error = open(dir.path(), Duration::from_secs(3)).pull(&registry.reference("test/a:1"), None).await.unwrap_err();
    assert!(matches!(&error, ImageError::Unavailable(text) if text.contains("bytes in 3 s")), "{error}");
}

#[needs(root)]
#[tokio::test(flavor = "multi_thread")]
async fn an_image_with_a_broken_layer_does_not_wait_for_the_others() {
    let (dir, registry, image) = (tempfile::tempdir().unwrap(), Registry::start().await, noisy(2, 100_000));
    registry.put("test/a", "1", &image);
    registry.fail(&sha256(&image.layers[0]), usize::MAX, Fault::Stall(0));
    registry.fail(&sha256(&image.layers[1]), usize::MAX, Fault::Status(404));
    let service = open(dir.path(), NEVER);
    let error = service.pull(&registry.reference("test/a:1"), None).await.unwrap_err();
    assert!(matches!(&error, ImageError::NotFound(_)), "{error}");
    assert!(service.list().is_empty());
}
