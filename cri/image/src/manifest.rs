//! Manifests and indexes of both formats (OCI, Docker schema 2), as far as a pull needs them.

use oci_spec::image::ImageConfiguration;
use serde::Deserialize;

use crate::{ImageError, names};

/// What a registry may answer for a manifest.
pub(crate) const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

/// A pointer to content.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    #[serde(default)]
    pub media_type: String,
    pub digest: String,
    pub size: u64,
    platform: Option<Platform>,
    #[serde(default)]
    pub annotations: std::collections::HashMap<String, String>,
}

#[derive(Debug, Clone, Deserialize)]
struct Platform {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
}

/// An image for one platform.
#[derive(Debug, Clone)]
pub(crate) struct Manifest {
    pub config: Descriptor,
    pub layers: Vec<Descriptor>,
}

/// Either kind.
#[derive(Debug, Clone)]
pub(crate) enum Document {
    Index(Vec<Descriptor>),
    Manifest(Manifest),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    #[serde(default)]
    schema_version: u32,
    manifests: Option<Vec<Descriptor>>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
}

/// More layers than an overlay can stack are no image.
const MAX_LAYERS: usize = 500;

/// Reads a manifest or an index. One that could be read as both is refused (CVE-2021-41190).
pub(crate) fn parse(bytes: &[u8]) -> Result<Document, ImageError> {
    let bad = |text: String| ImageError::Invalid(format!("manifest: {text}"));
    let raw: Raw = serde_json::from_slice(bytes).map_err(|e| bad(e.to_string()))?;
    if raw.schema_version == 1 {
        return Err(bad("Docker schema 1 is not supported".into()));
    }
    let document = match (raw.manifests, raw.config, raw.layers) {
        (Some(all), None, None) => Document::Index(all),
        (None, Some(config), Some(layers)) => Document::Manifest(Manifest { config, layers }),
        _ => return Err(bad("is neither an image nor an index".into())),
    };
    if let Document::Manifest(manifest) = &document {
        check(manifest).map_err(bad)?;
    }
    Ok(document)
}

fn check(manifest: &Manifest) -> Result<(), String> {
    if manifest.layers.len() > MAX_LAYERS {
        return Err(format!("{} layers, at most {MAX_LAYERS} are supported", manifest.layers.len()));
    }
    for one in manifest.layers.iter().chain([&manifest.config]) {
        names::hex_of(&one.digest).map_err(|e| e.to_string())?;
    }
    for layer in &manifest.layers {
        let kind = layer.media_type.as_str();
        // The compression is seen in the layer itself.
        let known = kind.is_empty()
            || (kind.starts_with("application/vnd.oci.image.layer.")
                || kind.starts_with("application/vnd.docker.image.rootfs."))
                && !kind.ends_with("+encrypted");
        if !known {
            return Err(format!(
                "layer {} has the media type {kind:?}, which is no container image layer",
                layer.digest
            ));
        }
    }
    Ok(())
}

/// This machine's architecture, as images call it.
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The entry of an index for this machine.
pub(crate) fn choose(entries: &[Descriptor]) -> Result<&Descriptor, ImageError> {
    let fits = |p: &Platform| p.os == "linux" && p.architecture == architecture();
    let chosen = entries.iter().find(|d| d.platform.as_ref().is_some_and(fits));
    let chosen = chosen.or_else(|| match entries {
        [only] if only.platform.is_none() => Some(only),
        _ => None,
    });
    let chosen =
        chosen.ok_or_else(|| ImageError::NotFound(format!("no image for linux/{} in the index", architecture())))?;
    names::hex_of(&chosen.digest)?;
    Ok(chosen)
}

/// Reads a config and checks that it is for this machine and fits its layers.
pub(crate) fn config(bytes: &[u8], layers: usize) -> Result<ImageConfiguration, ImageError> {
    let bad = |text: String| ImageError::Invalid(format!("image config: {text}"));
    let config: ImageConfiguration = serde_json::from_slice(bytes).map_err(|e| bad(e.to_string()))?;
    let (os, arch) = (config.os().to_string(), config.architecture().to_string());
    if os != "linux" || arch != architecture() {
        return Err(ImageError::NotFound(format!(
            "the image is for {os}/{arch}, this node is linux/{}",
            architecture()
        )));
    }
    let ids = config.rootfs().diff_ids();
    if ids.len() != layers {
        return Err(bad(format!("{} diff ids for {layers} layers", ids.len())));
    }
    for id in ids {
        names::hex_of(id).map_err(|e| bad(e.to_string()))?;
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(kind: &str) -> String {
        format!(r#"{{"mediaType":"{kind}","digest":"{}","size":3}}"#, names::sha256(kind.as_bytes()))
    }

    #[test]
    fn a_document_that_could_be_both_kinds_is_refused() {
        let (config, layer) = (descriptor("c"), descriptor("application/vnd.oci.image.layer.v1.tar+gzip"));
        let image = format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{layer}]}}"#);
        assert!(matches!(parse(image.as_bytes()).unwrap(), Document::Manifest(_)));
        let both = format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{layer}],"manifests":[]}}"#);
        assert!(parse(both.as_bytes()).is_err());
        assert!(parse(b"{\"schemaVersion\":1,\"fsLayers\":[]}").unwrap_err().to_string().contains("schema 1"));
    }

    #[test]
    fn what_is_no_layer_is_refused_by_name() {
        let layer = descriptor("application/vnd.cncf.helm.chart.content.v1.tar+gzip");
        let text = format!(r#"{{"schemaVersion":2,"config":{},"layers":[{layer}]}}"#, descriptor("c"));
        assert!(parse(text.as_bytes()).unwrap_err().to_string().contains("helm"));
    }

    #[test]
    fn the_entry_for_this_machine_is_chosen_and_attestations_are_not() {
        let entry = |os: &str, arch: &str| {
            format!(
                r#"{{"digest":"{}","size":1,"platform":{{"os":"{os}","architecture":"{arch}"}}}}"#,
                names::sha256(arch.as_bytes())
            )
        };
        let text = format!(
            r#"{{"schemaVersion":2,"manifests":[{},{},{}]}}"#,
            entry("unknown", "unknown"),
            entry("linux", "s390x"),
            entry("linux", architecture())
        );
        let Document::Index(all) = parse(text.as_bytes()).unwrap() else { panic!("an index") };
        assert_eq!(choose(&all).unwrap().digest, names::sha256(architecture().as_bytes()));
        assert!(matches!(choose(&all[..2]), Err(ImageError::NotFound(_))));
    }

    #[test]
    fn a_config_of_docker_with_nulls_is_read_and_a_foreign_one_is_not_found() {
        let config = |arch: &str| {
            format!(
                r#"{{"architecture":"{arch}","os":"linux","config":{{"Cmd":null,"Volumes":null,"Env":["A=b"]}},
                "rootfs":{{"type":"layers","diff_ids":["{}"]}}}}"#,
                names::sha256(b"")
            )
        };
        assert!(self::config(config(architecture()).as_bytes(), 1).is_ok());
        assert!(matches!(self::config(config(architecture()).as_bytes(), 2), Err(ImageError::Invalid(_))));
        assert!(matches!(self::config(config("s390x").as_bytes(), 1), Err(ImageError::NotFound(_))));
    }
}
