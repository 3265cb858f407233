//! An image: layers, config, manifest; and an index over several.

use anyhow::Result;
use serde_json::{Value, json};

use crate::layer::{Blob, Compression, Layer, compress};

/// Whose media types the manifest names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavor {
    /// OCI image-spec 1.0.
    Oci,
    /// Docker image manifest version 2, schema 2.
    Docker,
}

/// An image before it is encoded.
#[derive(Clone, Debug)]
pub struct ImageSpec {
    layers: Vec<(Layer, Compression)>,
    config: Value,
    architecture: &'static str,
    flavor: Flavor,
}

/// An image ready to be pushed.
#[derive(Clone, Debug)]
pub struct Image {
    /// The config; its digest is the image's id.
    pub config: Blob,
    /// Compressed layers, lowest first.
    pub layers: Vec<Blob>,
    /// The uncompressed tars, lowest first.
    pub tars: Vec<Blob>,
    /// The manifest.
    pub manifest: Blob,
    /// Its media type.
    pub media_type: &'static str,
    architecture: &'static str,
}

impl ImageSpec {
    /// An image with no layers and a usual `PATH`.
    pub fn new() -> Self {
        let config = json!({"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]});
        Self { layers: Vec::new(), config, architecture: "amd64", flavor: Flavor::Oci }
    }

    /// Adds a gzipped layer on top.
    #[must_use]
    pub fn layer(self, layer: Layer) -> Self {
        self.layer_as(layer, Compression::Gzip)
    }

    /// Adds a layer on top.
    #[must_use]
    pub fn layer_as(mut self, layer: Layer, compression: Compression) -> Self {
        self.layers.push((layer, compression));
        self
    }

    /// Sets a field of the image's run configuration (`Cmd`, `Entrypoint`, `User`, `WorkingDir`, `ExposedPorts`,
    /// `StopSignal`, `Env`).
    #[must_use]
    pub fn set(mut self, field: &str, value: Value) -> Self {
        self.config[field] = value;
        self
    }

    /// Claims another architecture.
    #[must_use]
    pub fn architecture(mut self, name: &'static str) -> Self {
        self.architecture = name;
        self
    }

    /// Uses other media types.
    #[must_use]
    pub fn flavor(mut self, flavor: Flavor) -> Self {
        self.flavor = flavor;
        self
    }

    /// Encodes everything.
    pub fn build(&self) -> Result<Image> {
        let mut tars = Vec::new();
        let mut layers = Vec::new();
        let mut descriptors = Vec::new();
        for (layer, compression) in &self.layers {
            let tar = layer.tar()?;
            let blob = Blob::new(compress(&tar, *compression)?);
            descriptors.push(descriptor(layer_type(self.flavor, *compression), &blob));
            layers.push(blob);
            tars.push(Blob::new(tar));
        }
        let diff_ids: Vec<&str> = tars.iter().map(|tar| tar.digest.as_str()).collect();
        let config = blob_of(&json!({
            "created": "1970-01-01T00:00:00Z",
            "architecture": self.architecture,
            "os": "linux",
            "config": self.config,
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        }))?;
        let (media_type, config_type) = match self.flavor {
            Flavor::Oci => ("application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.config.v1+json"),
            Flavor::Docker => (
                "application/vnd.docker.distribution.manifest.v2+json",
                "application/vnd.docker.container.image.v1+json",
            ),
        };
        let manifest = blob_of(&json!({
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": descriptor(config_type, &config),
            "layers": descriptors,
        }))?;
        Ok(Image { config, layers, tars, manifest, media_type, architecture: self.architecture })
    }
}

impl Default for ImageSpec {
    fn default() -> Self {
        Self::new()
    }
}

/// An index over images of different architectures.
pub fn index(images: &[Image]) -> Result<Blob> {
    let manifests: Vec<Value> = images
        .iter()
        .map(|image| {
            let mut entry = descriptor(image.media_type, &image.manifest);
            entry["platform"] = json!({"architecture": image.architecture, "os": "linux"});
            entry
        })
        .collect();
    blob_of(&json!({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": manifests}))
}

/// The media type of what [`index`] makes.
pub const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";

fn layer_type(flavor: Flavor, compression: Compression) -> &'static str {
    match (flavor, compression) {
        (Flavor::Oci, Compression::Gzip) => "application/vnd.oci.image.layer.v1.tar+gzip",
        (Flavor::Oci, Compression::None) => "application/vnd.oci.image.layer.v1.tar",
        (Flavor::Docker, Compression::Gzip) => "application/vnd.docker.image.rootfs.diff.tar.gzip",
        (Flavor::Docker, Compression::None) => "application/vnd.docker.image.rootfs.diff.tar",
    }
}

/// A content descriptor.
pub fn descriptor(media_type: &str, blob: &Blob) -> Value {
    json!({"mediaType": media_type, "digest": blob.digest, "size": blob.data.len()})
}

/// A JSON document as a blob. Keys come out sorted, so the digest is reproducible.
pub fn blob_of(value: &Value) -> Result<Blob> {
    Ok(Blob::new(serde_json::to_vec(value)?))
}
