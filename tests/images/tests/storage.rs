//! The cached registry directory against the recipes.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use cofferdam_test_images::{archive, copy_storage, corrupt_blob, debian, image, recipes, storage};

/// The digest that a tag of the storage stands for.
fn tagged(storage: &Path, name: &str) -> Result<String> {
    let link = format!("docker/registry/v2/repositories/{name}/_manifests/tags/latest/current/link");
    fs::read_to_string(storage.join(link)).with_context(|| name.to_owned())
}

/// Fails when a recipe or the compressor has changed and `recipes::VERSION` has not; and when a build is not reproducible.
#[test]
fn the_storage_holds_what_the_recipes_make() -> Result<()> {
    let storage = storage()?;
    for named in recipes::all(&debian::packages(&recipes::PACKAGES)?)? {
        let made = match named.images.as_slice() {
            [image] => image.manifest.digest.clone(),
            images => image::index(images)?.digest,
        };
        assert_eq!(tagged(&storage, named.name)?, made, "{}", named.name);
    }
    Ok(())
}

#[test]
fn a_corrupted_copy_leaves_the_cache_alone() -> Result<()> {
    let copy = tempfile::tempdir()?;
    copy_storage(copy.path())?;
    let digest = tagged(copy.path(), "test/busybox")?;
    let hex = digest.trim_start_matches("sha256:");
    let blob = format!("docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]);
    corrupt_blob(copy.path(), &digest)?;
    assert_ne!(fs::read(copy.path().join(&blob))?, fs::read(storage()?.join(&blob))?);
    Ok(())
}

#[test]
fn archives_hold_every_layer_and_an_index_is_refused_where_it_cannot_be() -> Result<()> {
    let images = recipes::all(&debian::packages(&recipes::PACKAGES)?)?;
    let named = |name: &str| images.iter().find(|named| named.name == name).context("no such image");
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("web.tar");
    archive::write_docker_archive(named("test/web")?, "example/web:1", fs::File::create(&file)?)?;
    let list = Command::new("tar").arg("tf").arg(&file).output()?;
    assert_eq!(String::from_utf8(list.stdout)?.matches("/layer.tar").count(), 2);
    assert!(archive::write_docker_archive(named("test/index")?, "example/index:1", std::io::sink()).is_err());
    archive::write_oci_layout(named("test/index")?, "example/index:1", std::io::sink())
}
