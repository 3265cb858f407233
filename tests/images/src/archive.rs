//! Images as one file: an OCI image layout or what `docker save` writes, both as a tar.

use std::io::Write;

use anyhow::{Result, ensure};
use serde_json::json;

use crate::image::{INDEX_TYPE, blob_of, descriptor, index};
use crate::layer::{Blob, Layer};
use crate::set::Named;

/// Writes an OCI image layout; the reference is the annotation that skopeo, podman and containerd read.
pub fn write_oci_layout(named: &Named, reference: &str, mut out: impl Write) -> Result<()> {
    let mut layer = Layer::new().file("oci-layout", 0o644, r#"{"imageLayoutVersion":"1.0.0"}"#);
    let add = |layer: Layer, blob: &Blob| layer.file(&blob_path(&blob.digest), 0o644, blob.data.clone());
    for image in &named.images {
        for blob in image.layers.iter().chain([&image.config, &image.manifest]) {
            layer = add(layer, blob);
        }
    }
    let mut top = match named.images.as_slice() {
        [image] => descriptor(image.media_type, &image.manifest),
        images => {
            let index = index(images)?;
            layer = add(layer, &index);
            descriptor(INDEX_TYPE, &index)
        }
    };
    top["annotations"] = json!({"org.opencontainers.image.ref.name": reference, "io.containerd.image.name": reference});
    let index = blob_of(&json!({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [top]}))?;
    out.write_all(&layer.file("index.json", 0o644, index.data).tar()?)?;
    Ok(())
}

/// Writes the format of `docker save`. An index cannot be written so.
pub fn write_docker_archive(named: &Named, reference: &str, mut out: impl Write) -> Result<()> {
    ensure!(named.images.len() == 1, "{} is an index, which a docker archive cannot hold", named.name);
    let image = &named.images[0];
    let config = format!("{}.json", hex(&image.config.digest));
    let mut layer = Layer::new().file(&config, 0o644, image.config.data.clone());
    let mut layers = Vec::new();
    for tar in &image.tars {
        let path = format!("{}/layer.tar", hex(&tar.digest));
        layer = layer.file(&path, 0o644, tar.data.clone());
        layers.push(path);
    }
    let manifest = json!([{"Config": config, "RepoTags": [reference], "Layers": layers}]);
    out.write_all(&layer.file("manifest.json", 0o644, serde_json::to_vec(&manifest)?).tar()?)?;
    Ok(())
}

fn hex(digest: &str) -> &str {
    digest.trim_start_matches("sha256:")
}

fn blob_path(digest: &str) -> String {
    format!("blobs/sha256/{}", hex(digest))
}
