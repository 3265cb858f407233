//! Pulling from a registry that may misbehave.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use cofferdam_image::{Auth, ImageError};
use cofferdam_test_support::needs;
use futures::FutureExt;
use support::image::sha256;
use support::{Fault, Image, Packed, Registry, Tar, files, image, open};

fn noise(size: usize) -> Vec<u8> {
    let mut x = 1_u32;
    let next = || {
        x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (x >> 24) as u8
    };
    std::iter::repeat_with(next).take(size).collect()
}

fn big() -> Image {
    image(&[(Tar::new().dir("d").file("d/big", 0o644, &noise(600_000)).bytes(), Packed::Gzip)])
}

fn three() -> Image {
    let layer = |name: &str, text: &[u8]| Tar::new().file(name, 0o644, text).bytes();
    image(&[
        (layer("a", b"plain"), Packed::Plain),
        (layer("b", b"gzip"), Packed::Gzip),
        (layer("c", b"zstd"), Packed::Zstd),
    ])
}

#[needs(root)]
#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_pulled_by_tag_and_digest_listed_and_survives_a_restart() {
    let (dir, registry, image) = (tempfile::tempdir().unwrap(), Registry::start().await, three());
    registry.put("test/a", "1", &image);
    let service = open(dir.path());
    let pulled = service.pull(&registry.reference("test/a:1"), None).await.unwrap();
    assert_eq!(pulled.id, image.id());
    let repo_digest = registry.reference(&format!("test/a@{}", sha256(&image.manifest)));
    assert_eq!(pulled.repo_digest, repo_digest);
    let again = service.pull(&repo_digest, None).await.unwrap();
    assert_eq!(again, pulled);
    drop(service);
    let service = open(dir.path());
    let all = service.list();
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].repo_tags, [registry.reference("test/a:1")]);
    assert_eq!(all[0].repo_digests, [repo_digest]);
    let layers: usize = image.layers.iter().map(Vec::len).sum();
    assert_eq!(all[0].size, (layers + image.config.len()) as u64);
    assert_eq!(service.config(&pulled.id).unwrap().config().as_ref().unwrap().cmd().as_ref().unwrap(), &["/bin/sh"]);
    let rootfs = service.prepare_rootfs("c1", &pulled.id).await.unwrap();
    for (lower, (name, text)) in rootfs.lowerdirs.iter().rev().zip([("a", "plain"), ("b", "gzip"), ("c", "zstd")]) {
        assert_eq!(std::fs::read_to_string(lower.join(name)).unwrap(), text);
    }
    assert!(files(dir.path(), "ingest").is_empty());
}

#[needs(root)]
#[tokio::test(flavor = "multi_thread")]
async fn an_index_gives_the_image_of_this_machine_and_its_own_digest() {
    let (dir, registry, image) = (tempfile::tempdir().unwrap(), Registry::start().await, three());
    registry.put("test/a", "single", &image);
    let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let entry = |arch: &str, digest: &str| serde_json::json!({"digest": digest, "size": 1, "platform": {"os": "linux", "architecture": arch}});
    let entries = [entry("s390x", &sha256(b"foreign")), entry(arch, &sha256(&image.manifest))];
    let index = serde_json::json!({"schemaVersion": 2, "manifests": entries}).to_string();
    registry.put_raw("/v2/test/a/manifests/all", index.as_bytes());
    let foreign = serde_json::json!({"schemaVersion": 2, "manifests": entries[..1]}).to_string();
    registry.put_raw("/v2/test/a/manifests/foreign", foreign.as_bytes());
    let service = open(dir.path());
    let pulled = service.pull(&registry.reference("test/a:all"), None).await.unwrap();
    assert_eq!(pulled.id, image.id());
    assert!(pulled.repo_digest.ends_with(&sha256(index.as_bytes())));
    let error = service.pull(&registry.reference("test/a:foreign"), None).await.unwrap_err();
    assert!(matches!(&error, ImageError::NotFound(text) if text.contains(arch)), "{error}");
}

#[needs(root)]
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_body_is_resumed_where_it_broke() {
    for fault in [Fault::Break(100_000), Fault::Stall(200_000)] {
        let (dir, registry, image) = (tempfile::tempdir().unwrap(), Registry::start().await, big());
        registry.put("test/a", "1", &image);
        registry.fail(&sha256(&image.layers[0]), 1, fault.clone());
        let mut config = support::config(dir.path());
        config.stall_timeout = Duration::from_secs(5);
        let service = cofferdam_image::ImageService::open(config).unwrap();
        service.pull(&registry.reference("test/a:1"), None).await.unwrap();
        assert_eq!(registry.count("bytes="), 1, "{fault:?}: {:?}", registry.requests());
    }
}

#[needs(root)]
#[tokio::test(flavor = "multi_thread")]
async fn a_registry_without_ranges_is_resumed_by_passing_over_what_is_there() {
    let (dir, registry, image) = (tempfile::tempdir().unwrap(), Registry::start().await, big());
    registry.put("test/a", "1", &image);
    registry.fail(&sha256(&image.layers[0]), 1, Fault::Break(100_000));
    registry.fail(&sha256(&image.layers[0]), 1, Fault::NoRange);
    open(dir.path()).pull(&registry.reference("test/a:1"), None).await.unwrap();
}

#[needs(root)]
#[tokio::test(flavor = "multi_thread")]
async fn wrong_content_is_refused_and_leaves_nothing() {
    let (dir, registry, image) = (tempfile::tempdir().unwrap(), Registry::start().await, three());
    registry.put("test/a", "1", &image);
    let service = open(dir.path());
    // A plain tar whose content differs unpacks well: only the digest can tell.
    let forged = Tar::new().file("a", 0o644, b"evil!").bytes();
    registry.put_raw(&format!("/v2/test/a/blobs/{}", sha256(&image.layers[0])), &forged);
    let error = service.pull(&registry.reference("test/a:1"), None).await.unwrap_err();
    assert!(
        matches!(&error, ImageError::Invalid(text) if text.contains("digest") && text.contains("test/a:1")),
        "{error}"
    );
    registry.fail(&sha256(&image.config), 9, Fault::Flip);
    let error = service.pull(&registry.reference("test/a:1"), None).await.unwrap_err();
    assert!(matches!(&error, ImageError::Invalid(text) if text.contains(&sha256(&image.config))), "{error}");
    registry.fail("manifests", 9, Fault::Flip);
    let by_digest = registry.reference(&format!("test/a@{}", sha256(&image.manifest)));
    assert!(matches!(service.pull(&by_digest, None).await, Err(ImageError::Invalid(_))));
    assert!(service.list().is_empty());
    service.gc().await.unwrap();
    // The writers of layers that were given up clean up behind the answer.
    let empty = || files(dir.path(), "layers").is_empty() && files(dir.path(), "ingest").is_empty();
    cofferdam_test_support::eventually("nothing is left", empty).unwrap();
}

#[needs(root)]
#[tokio::test(flavor = "multi_thread")]
async fn a_poisoned_ingest_file_is_thrown_away_and_fetched_anew() {
    let (dir, registry, image) = (tempfile::tempdir().unwrap(), Registry::start().await, big());
    registry.put("test/a", "1", &image);
    let service = open(dir.path());
    let path = dir.path().join("images/ingest").join(&sha256(&image.layers[0])[7..]);
    std::fs::write(&path, vec![7; 5000]).unwrap();
    service.pull(&registry.reference("test/a:1"), None).await.unwrap();
    assert!(!path.exists());
}

#[needs(root)]
#[tokio::test(flavor = "multi_thread")]
async fn a_kept_ingest_file_is_resumed_by_the_next_daemon() {
    let (dir, registry, image) = (tempfile::tempdir().unwrap(), Registry::start().await, big());
    registry.put("test/a", "1", &image);
    std::fs::create_dir_all(dir.path().join("images/ingest")).unwrap();
    let path = dir.path().join("images/ingest").join(&sha256(&image.layers[0])[7..]);
    std::fs::write(&path, &image.layers[0][..5000]).unwrap();
    open(dir.path()).pull(&registry.reference("test/a:1"), None).await.unwrap();
    assert_eq!(registry.count("bytes=5000-"), 1, "{:?}", registry.requests());
}

#[needs(root)]
#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_registry_is_unavailable_in_bounded_time() {
    let (dir, registry, image) = (tempfile::tempdir().unwrap(), Registry::start().await, big());
    registry.put("test/a", "1", &image);
    registry.fail(&sha256(&image.layers[0]), 99, Fault::Stall(0));
    let mut config = support::config(dir.path());
    config.stall_timeout = Duration::from_millis(200);
    let service = cofferdam_image::ImageService::open(config).unwrap();
    let start = Instant::now();
    let error = service.pull(&registry.reference("test/a:1"), None).await.unwrap_err();
    assert!(
        matches!(&error, ImageError::Unavailable(text) if text.contains("no byte") || text.contains("timed out")),
        "{error}"
    );
    assert!(start.elapsed() < Duration::from_secs(180), "{:?}", start.elapsed());
}

#[needs(root)]
#[tokio::test(flavor = "multi_thread")]
async fn passing_trouble_is_retried_and_lasting_trouble_told_apart() {
    let (dir, registry, image) = (tempfile::tempdir().unwrap(), Registry::start().await, three());
    registry.put("test/a", "1", &image);
    let service = open(dir.path());
    registry.fail("manifests", 2, Fault::Status(503));
    service.pull(&registry.reference("test/a:1"), None).await.unwrap();
    registry.fail("manifests", 9, Fault::Status(500));
    let error = service.pull(&registry.reference("test/a:1"), None).await.unwrap_err();
    let host = registry.address.to_string();
    assert!(matches!(&error, ImageError::Unavailable(text) if text.contains("500") && text.contains(&host)), "{error}");
    let error = service.pull(&registry.reference("test/none:1"), None).await.unwrap_err();
    assert!(matches!(&error, ImageError::NotFound(text) if text.contains("test/none")), "{error}");
    let error = service.pull("127.0.0.1:1/test/a:1", None).await.unwrap_err();
    assert!(matches!(&error, ImageError::Unavailable(text) if text.contains("127.0.0.1:1")), "{error}");
    assert!(matches!(service.pull("UPPER CASE", None).await, Err(ImageError::Invalid(_))));
}

#[needs(root)]
#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_fetched_with_the_credentials_of_this_registry_only() {
    let (dir, registry, image) = (tempfile::tempdir().unwrap(), Registry::start().await, three());
    registry.put("test/a", "1", &image);
    registry.require("user", "pass");
    let service = open(dir.path());
    let name = registry.reference("test/a:1");
    let auth = Auth { username: "user".into(), password: "pass".into(), ..Auth::default() };
    assert!(matches!(service.pull(&name, None).await, Err(ImageError::Denied(_))));
    let foreign = Auth { server_address: "other.example".into(), ..auth.clone() };
    assert!(matches!(service.pull(&name, Some(foreign)).await, Err(ImageError::Denied(_))));
    assert_eq!(registry.count("Basic"), 0);
    service.pull(&name, Some(auth)).await.unwrap();
    assert_eq!(registry.count("Basic"), 1, "{:?}", registry.requests());
}

#[needs(root)]
#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_is_asked_first_without_credentials_and_the_next_one_when_it_fails() {
    let (dir, mirror, image) = (tempfile::tempdir().unwrap(), Registry::start().await, three());
    mirror.put("team/a", "1", &image);
    mirror.mirror(dir.path(), "registry.example");
    let service = open(dir.path());
    let auth = Auth { username: "user".into(), password: "pass".into(), ..Auth::default() };
    service.pull("registry.example/team/a:1", Some(auth)).await.unwrap();
    assert_eq!(service.list()[0].repo_tags, ["registry.example/team/a:1"]);
    assert_eq!(mirror.count("Basic"), 0);
    assert!(mirror.requests().iter().all(|r| r.contains("ns=registry.example")), "{:?}", mirror.requests());

    let registry = Registry::start().await;
    registry.put("team/b", "1", &big());
    mirror.mirror(dir.path(), &registry.address.to_string());
    service.pull(&registry.reference("team/b:1"), None).await.unwrap();
    assert!(mirror.count("team/b") > 0 && registry.count("ns=") == 0);
}

#[needs(root)]
#[tokio::test(flavor = "multi_thread")]
async fn equal_pulls_share_one_download_and_outlive_who_asked_first() {
    let (dir, registry, image) = (tempfile::tempdir().unwrap(), Registry::start().await, big());
    registry.put("test/a", "1", &image);
    registry.fail("blobs", 2, Fault::Delay(Duration::from_secs(2)));
    let (service, name) = (Arc::new(open(dir.path())), registry.reference("test/a:1"));
    let mut given_up = Box::pin(service.pull(&name, None));
    assert!(given_up.as_mut().now_or_never().is_none());
    let mut pulls: Vec<_> = (0..5).map(|_| Box::pin(service.pull(&name, None))).collect();
    assert!(pulls.iter_mut().all(|pull| pull.as_mut().now_or_never().is_none()));
    drop(given_up);
    for pulled in futures::future::join_all(pulls).await {
        assert_eq!(pulled.unwrap().id, image.id());
    }
    assert_eq!((registry.count("manifests"), registry.count("blobs")), (1, 2), "{:?}", registry.requests());
}
