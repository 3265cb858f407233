//! What registries ask for and answer.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use cofferdam_image::{Auth, ImageError};
use cofferdam_test_support::needs;
use support::image::{sha256, sha512};
use support::{Fault, Image, Packed, Registry, Tar, image, open};

fn small(text: &str) -> Image {
    image(&[(Tar::new().file("f", 0o644, text.as_bytes()).bytes(), Packed::Gzip)])
}

#[needs(root)]
#[tokio::test(flavor = "multi_thread")]
async fn the_scope_is_this_repository_where_the_challenge_names_none() {
    let (dir, registry) = (tempfile::tempdir().unwrap(), Registry::start().await);
    registry.put("team/a", "1", &small("a"));
    let challenge = format!("Bearer realm=\"http://{}/token\",service=\"x\"", registry.address);
    registry.challenge(&challenge, "scope=repository%3Ateam%2Fa%3Apull");
    open(dir.path()).pull(&registry.reference("team/a:1"), None).await.unwrap();
    registry.challenge(&format!("{challenge},scope=\"else\""), "scope=else&scope=repository%3Ateam%2Fb%3Apull");
    registry.put("team/b", "1", &small("b"));
    open(dir.path()).pull(&registry.reference("team/b:1"), None).await.unwrap();
}

#[needs(root)]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_here_already_costs_one_head() {
    let (dir, registry, image) = (tempfile::tempdir().unwrap(), Registry::start().await, small("a"));
    for tag in ["1", "2"] {
        registry.put("test/a", tag, &image);
    }
    let digest = sha256(&image.manifest);
    registry.fail("manifests", usize::MAX, Fault::With("docker-content-digest", digest.clone()));
    let service = open(dir.path());
    let name = registry.reference("test/a:1");
    let pulled = service.pull(&name, None).await.unwrap();
    let seen = registry.requests().len();
    for name in [&name, &registry.reference("test/a:2"), &registry.reference(&format!("test/a@{digest}"))] {
        assert_eq!(service.pull(name, None).await.unwrap(), pulled);
    }
    let again = registry.requests().split_off(seen);
    assert!(again.len() == 3 && again.iter().all(|line| line.starts_with("HEAD ")), "{again:?}");
    assert_eq!(service.list()[0].repo_tags.len(), 2);
}

#[needs(root)]
#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_moved_and_a_registry_that_knows_no_head_are_asked_by_get() {
    let (dir, registry) = (tempfile::tempdir().unwrap(), Registry::start().await);
    let service = open(dir.path());
    let name = registry.reference("test/a:1");
    // A digest that was right once, none at all, and no HEAD.
    let answers = [
        Fault::With("docker-content-digest", sha256(&small("0").manifest)),
        Fault::With("x", "y".into()),
        Fault::Status(405),
    ];
    for (i, answer) in answers.into_iter().enumerate() {
        let image = small(&i.to_string());
        registry.put("test/a", "1", &image);
        if i > 0 {
            registry.fail("manifests", 1, answer);
        }
        assert_eq!(service.pull(&name, None).await.unwrap().id, image.id());
    }
}

#[needs(root)]
#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_wants_to_be_left_alone_is_for_a_while() {
    let (dir, registry) = (tempfile::tempdir().unwrap(), Registry::start().await);
    registry.put("test/a", "1", &small("a"));
    let later = |status, after: &str| Fault::Reply(status, vec![("retry-after", after.to_owned())], "busy");
    for status in [429, 503] {
        // More often than without a word.
        registry.fail("manifests", 6, later(status, "1"));
        let dir = tempfile::tempdir().unwrap();
        open(dir.path()).pull(&registry.reference("test/a:1"), None).await.unwrap();
    }
    registry.fail("manifests", usize::MAX, later(429, "3600"));
    let error = open(dir.path()).pull(&registry.reference("test/a:1"), None).await.unwrap_err();
    assert!(matches!(&error, ImageError::Unavailable(text) if text.contains("3600 s")), "{error}");
}

#[needs(root)]
#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_contradicts_itself_is_refused() {
    let (dir, registry, image) = (tempfile::tempdir().unwrap(), Registry::start().await, small("a"));
    registry.put("test/a", "1", &image);
    registry.fail("manifests", 1, Fault::With("docker-content-digest", sha256(b"other")));
    let service = open(dir.path());
    let error = service.pull(&registry.reference("test/a:1"), None).await.unwrap_err();
    assert!(matches!(&error, ImageError::Invalid(text) if text.contains("Docker-Content-Digest")), "{error}");
    registry.fail("manifests", 1, Fault::Reply(204, Vec::new(), ""));
    let error = service.pull(&registry.reference("test/a:1"), None).await.unwrap_err();
    assert!(matches!(&error, ImageError::Invalid(text) if text.contains("size 0")), "{error}");
}

#[needs(root)]
#[tokio::test(flavor = "multi_thread")]
async fn the_words_of_the_registry_are_told() {
    let (dir, registry) = (tempfile::tempdir().unwrap(), Registry::start().await);
    registry.put("test/a", "1", &small("a"));
    let body = r#"{"errors":[{"code":"DENIED","message":"your address is blocked"}]}"#;
    registry.fail("manifests", 1, Fault::Reply(403, Vec::new(), body));
    let error = open(dir.path()).pull(&registry.reference("test/a:1"), None).await.unwrap_err();
    assert!(matches!(&error, ImageError::Denied(text) if text.contains("DENIED: your address is blocked")), "{error}");
}

#[needs(root)]
#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_to_another_host_carries_neither_credentials_nor_headers() {
    let (dir, registry, cdn) = (tempfile::tempdir().unwrap(), Registry::start().await, Registry::start().await);
    let image = small("a");
    for one in [&registry, &cdn] {
        one.put("test/a", "1", &image);
    }
    registry.require("user", "pass");
    let hosts = dir.path().join("certs.d").join(registry.address.to_string());
    std::fs::create_dir_all(&hosts).unwrap();
    std::fs::write(hosts.join("hosts.toml"), "[header]\nx-secret = \"of-the-host\"\n").unwrap();
    let path = format!("/v2/test/a/blobs/{}", sha256(&image.layers[0]));
    let to = vec![("location", format!("http://{}{path}", cdn.address))];
    registry.fail(&path, 1, Fault::Reply(307, to, ""));
    let auth = Auth { username: "user".into(), password: "pass".into(), ..Auth::default() };
    open(dir.path()).pull(&registry.reference("test/a:1"), Some(auth)).await.unwrap();
    assert_eq!(cdn.count(&path), 1);
    assert_eq!((cdn.count("Bearer"), cdn.count("Basic"), cdn.count("of-the-host")), (0, 0, 0), "{:?}", cdn.requests());
    assert_eq!(registry.count("of-the-host"), registry.requests().len());
    // To nowhere, and in a circle.
    for to in [Vec::new(), vec![("location", path.clone())], vec![("location", "ftp://x/".into())]] {
        let (dir, registry) = (tempfile::tempdir().unwrap(), Registry::start().await);
        registry.put("test/a", "1", &image);
        registry.fail(&path, usize::MAX, Fault::Reply(302, to, ""));
        let error = open(dir.path()).pull(&registry.reference("test/a:1"), None).await.unwrap_err();
        assert!(matches!(&error, ImageError::Invalid(_)), "{error}");
    }
}

#[needs(root)]
#[tokio::test(flavor = "multi_thread")]
async fn everything_but_the_content_of_layers_may_be_named_by_sha512() {
    let (dir, registry, image) = (tempfile::tempdir().unwrap(), Registry::start().await, small("a"));
    let manifest = String::from_utf8(image.manifest.clone()).unwrap();
    let manifest = [&image.config, &image.layers[0]]
        .iter()
        .fold(manifest, |text, blob| text.replace(&sha256(blob), &sha512(blob)))
        .into_bytes();
    for blob in [&image.config, &image.layers[0]] {
        registry.put_raw(&format!("/v2/test/a/blobs/{}", sha512(blob)), blob);
    }
    registry.put_raw(&format!("/v2/test/a/manifests/{}", sha512(&manifest)), &manifest);
    let service = open(dir.path());
    let name = registry.reference(&format!("test/a@{}", sha512(&manifest)));
    let pulled = service.pull(&name, None).await.unwrap();
    assert_eq!((pulled.id.clone(), &pulled.repo_digest), (image.id(), &name));
    assert_eq!(service.resolve(&name).unwrap(), pulled.id);
    service.remove(&pulled.id).await.unwrap();
    registry.fail(&sha512(&image.layers[0]), usize::MAX, Fault::Flip);
    let error = service.pull(&name, None).await.unwrap_err();
    assert!(matches!(&error, ImageError::Invalid(text) if text.contains("its digest is sha512:")), "{error}");
}
