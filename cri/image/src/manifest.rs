//! Manifests and indexes of both formats (OCI, Docker schema 2), as far as a pull needs them.

use oci_spec::image::ImageConfiguration;
use serde::{Deserialize, Deserializer};

use crate::{ImageError, names};

/// What a registry may answer for a manifest.
pub(crate) const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

/// A pointer to content.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    #[serde(default, deserialize_with = "or_default")]
    pub media_type: String,
    pub digest: String,
    pub size: u64,
    platform: Option<Platform>,
    #[serde(default, deserialize_with = "or_default")]
    pub annotations: std::collections::HashMap<String, String>,
}

#[derive(Debug, Clone, Deserialize)]
struct Platform {
    #[serde(default, deserialize_with = "or_default")]
    architecture: String,
    #[serde(default, deserialize_with = "or_default")]
    os: String,
    #[serde(default, deserialize_with = "or_default")]
    variant: String,
}

impl Platform {
    /// This machine's. As containerd has it, a variant is one of every such machine (amd64's v1, arm64's v8), or it is
    /// another machine's: what needs more would end by an illegal instruction.
    fn fits(&self) -> bool {
        let architecture = match self.architecture.as_str() {
            "x86_64" | "x86-64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        let plain = match architecture {
            "amd64" => "v1",
            "arm64" => "v8",
            _ => "",
        };
        self.os == "linux" && architecture == self::architecture() && ["", plain].contains(&self.variant.as_str())
    }
}

/// What is null is as what is absent: so do the decoders of other runtimes read it.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
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
    #[serde(default, deserialize_with = "or_default")]
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
        (None, Some(config), layers) => Document::Manifest(Manifest { config, layers: layers.unwrap_or_default() }),
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

/// A search for this machine's image, from what a name means down through indexes.
pub(crate) struct Search {
    /// The next one last.
    open: Vec<Step>,
    left: u32,
}

/// A document to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    /// Digest, or the tag that the search begins with.
    pub name: String,
    /// If it is an image, it is the one; else its config tells.
    pub sure: bool,
    depth: u32,
}

/// Indexes in indexes.
const MAX_DEPTH: u32 = 4;
/// Documents of one search.
const MAX_DOCUMENTS: u32 = 32;

impl Search {
    pub fn new(name: &str) -> Self {
        let first = Step { name: name.to_owned(), sure: true, depth: 0 };
        Search { open: vec![first], left: MAX_DOCUMENTS }
    }

    /// The next document; an error if there is none any more.
    pub fn step(&mut self) -> Result<Step, ImageError> {
        self.left = self.left.checked_sub(1).ok_or_else(|| {
            ImageError::Invalid(format!("more than {MAX_DOCUMENTS} manifests and indexes to look at"))
        })?;
        let none = || ImageError::NotFound(format!("no image for linux/{} in the index", architecture()));
        self.open.pop().ok_or_else(none)
    }

    /// The document was an index: what is for this machine comes next, then what does not say.
    pub fn enter(&mut self, step: &Step, entries: &[Descriptor]) -> Result<(), ImageError> {
        if step.depth == MAX_DEPTH {
            return Err(ImageError::Invalid(format!("indexes within indexes, more than {MAX_DEPTH} deep")));
        }
        let fitting = entries.iter().filter(|d| d.platform.as_ref().is_some_and(Platform::fits));
        let silent = entries.iter().filter(|d| d.platform.is_none());
        let found = fitting.map(|d| (d, true)).chain(silent.map(|d| (d, false))).take(MAX_DOCUMENTS as usize);
        let steps = found.map(|(d, sure)| {
            names::hex_of(&d.digest)?;
            Ok(Step { name: d.digest.clone(), sure: sure && step.sure, depth: step.depth + 1 })
        });
        let steps = steps.collect::<Result<Vec<_>, ImageError>>()?;
        self.open.extend(steps.into_iter().rev());
        Ok(())
    }
}

/// The parts of a config that matter here, with what is null or absent in its place; the rest (the history, above all)
/// is not kept.
fn plain(bytes: &[u8]) -> Result<serde_json::Value, serde_json::Error> {
    use serde_json::{Map, Value, json};
    let mut all: Map<String, Value> = serde_json::from_slice(bytes)?;
    all.retain(|key, value| {
        !value.is_null() && matches!(key.as_str(), "architecture" | "os" | "variant" | "rootfs" | "config")
    });
    for (key, default) in [("architecture", architecture()), ("os", "linux")] {
        if all.get(key).is_none_or(|value| value == "") {
            all.insert(key.to_owned(), json!(default));
        }
    }
    let ids = all.remove("rootfs").and_then(|mut rootfs| Some(rootfs.get_mut("diff_ids")?.take()));
    let ids = ids.filter(|ids| !ids.is_null()).unwrap_or(json!([]));
    all.insert("rootfs".to_owned(), json!({"type": "layers", "diff_ids": ids}));
    if let Some(Value::Object(config)) = all.get_mut("config") {
        const KEPT: [&str; 9] =
            ["User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir", "Labels", "StopSignal"];
        config.retain(|key, value| !value.is_null() && KEPT.contains(&key.as_str()));
        for value in config.values_mut() {
            match value {
                Value::Array(list) => list.iter_mut().filter(|v| v.is_null()).for_each(|v| *v = json!("")),
                Value::Object(map) => map.values_mut().filter(|v| v.is_null()).for_each(|v| *v = json!("")),
                _ => {}
            }
        }
        for key in ["ExposedPorts", "Volumes"] {
            if let Some(Value::Object(map)) = config.get_mut(key) {
                map.values_mut().for_each(|v| *v = json!({}));
            }
        }
    }
    Ok(Value::Object(all))
}

/// Reads a config as it was checked when it came.
pub(crate) fn read_config(bytes: &[u8]) -> Result<ImageConfiguration, serde_json::Error> {
    serde_json::from_value(plain(bytes)?)
}

/// Reads a config and checks that it is for this machine and fits its layers.
pub(crate) fn config(bytes: &[u8], layers: usize) -> Result<ImageConfiguration, ImageError> {
    let bad = |text: String| ImageError::Invalid(format!("image config: {text}"));
    let config = read_config(bytes).map_err(|e| bad(e.to_string()))?;
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

    fn index(entries: &[(&str, &str)]) -> Vec<Descriptor> {
        let entry = |(name, platform): &(&str, &str)| {
            let digest = names::sha256(name.as_bytes());
            format!(r#"{{"digest":"{digest}","size":1,"annotations":null,"platform":{platform}}}"#)
        };
        let all: Vec<String> = entries.iter().map(entry).collect();
        let text = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, all.join(","));
        let Document::Index(all) = parse(text.as_bytes()).unwrap() else { panic!("an index") };
        all
    }

    #[test]
    fn this_machines_entries_come_first_then_those_that_do_not_say() {
        let here = format!(r#"{{"os":"linux","architecture":"{}","variant":null}}"#, architecture());
        let better = format!(r#"{{"os":"linux","architecture":"{}","variant":"v9"}}"#, architecture());
        let (other, unknown) =
            (r#"{"os":"linux","architecture":"s390x"}"#, r#"{"os":"unknown","architecture":"unknown"}"#);
        let all = index(&[("a", "null"), ("b", unknown), ("c", other), ("d", &better), ("e", &here), ("f", "null")]);
        let mut search = Search::new("latest");
        let first = search.step().unwrap();
        search.enter(&first, &all).unwrap();
        let found: Vec<_> = std::iter::from_fn(|| search.step().ok()).map(|step| (step.name, step.sure)).collect();
        assert_eq!(found, [("e", true), ("a", false), ("f", false)].map(|(n, s)| (names::sha256(n.as_bytes()), s)));
        assert!(matches!(search.step(), Err(ImageError::NotFound(_))));
    }

    #[test]
    fn an_index_within_an_index_is_followed_but_not_for_ever() {
        let here = format!(r#"{{"os":"linux","architecture":"{}"}}"#, architecture());
        let all = index(&[("again", &here)]);
        let mut search = Search::new("latest");
        for _ in 0..MAX_DEPTH {
            let step = search.step().unwrap();
            search.enter(&step, &all).unwrap();
        }
        let step = search.step().unwrap();
        assert!(search.enter(&step, &all).unwrap_err().to_string().contains("deep"));
    }

    #[test]
    fn what_is_null_or_odd_in_a_config_is_as_if_it_were_absent() {
        let text = r#"{"architecture":null,"created":"yesterday","history":null,"rootfs":{"type":null,"diff_ids":null},
            "config":{"Env":["A=b",null],"Volumes":{"/data":null},"Labels":{"a":null},"Cmd":null,"User":null,"New":[1]}}"#;
        let config = self::config(text.as_bytes(), 0).unwrap();
        let run = config.config().clone().unwrap();
        assert_eq!(run.env().clone().unwrap(), ["A=b", ""]);
        assert_eq!(run.volumes().clone().unwrap(), ["/data"]);
        assert_eq!(config.architecture().to_string(), architecture());
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
