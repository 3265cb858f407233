//! The cached registry directory against the recipes.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use cofferdam_test_images::{Named, SETS, archive, copy_storage, corrupt_blob, image, recipes, storage, storage_of};
use cofferdam_test_support::needs;

/// The digest that a tag of the storage stands for.
fn tagged(storage: &Path, name: &str, tag: &str) -> Result<String> {
    let link = format!("docker/registry/v2/repositories/{name}/_manifests/tags/{tag}/current/link");
    fs::read_to_string(storage.join(link)).with_context(|| format!("{name}:{tag}"))
}

/// Fails when a recipe or the compressor has changed and the set's version has not; and when a build is not
/// reproducible.
#[needs(network)]
#[test]
fn the_storages_hold_what_the_recipes_make() -> Result<()> {
    for set in SETS {
        let storage = storage_of(set)?;
        for named in set.images()? {
            let made = match named.images.as_slice() {
                [image] => image.manifest.digest.clone(),
                images => image::index(images)?.digest,
            };
            assert_eq!(tagged(&storage, named.name, named.tag)?, made, "{}:{} of {}", named.name, named.tag, set.name);
        }
    }
    Ok(())
}

#[needs(network)]
#[test]
fn a_corrupted_copy_leaves_the_cache_alone() -> Result<()> {
    let copy = tempfile::tempdir()?;
    copy_storage(copy.path())?;
    let digest = tagged(copy.path(), "test/busybox", "latest")?;
    let hex = digest.trim_start_matches("sha256:");
    let blob = format!("docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]);
    corrupt_blob(copy.path(), &digest)?;
    assert_ne!(fs::read(copy.path().join(&blob))?, fs::read(storage()?.join(&blob))?);
    Ok(())
}

#[needs(network)]
#[test]
fn archives_hold_every_layer_and_an_index_is_refused_where_it_cannot_be() -> Result<()> {
    let images = recipes::base::SET.images()?;
    let named =
        |name: &str| -> Result<&Named> { images.iter().find(|named| named.name == name).context("no such image") };
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("web.tar");
    archive::write_docker_archive(named("test/web")?, "example/web:1", fs::File::create(&file)?)?;
    let list = Command::new("tar").arg("tf").arg(&file).output()?;
    assert_eq!(String::from_utf8(list.stdout)?.matches("/layer.tar").count(), 2);
    assert!(archive::write_docker_archive(named("test/index")?, "example/index:1", std::io::sink()).is_err());
    archive::write_oci_layout(named("test/index")?, "example/index:1", std::io::sink())
}
