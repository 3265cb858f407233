//! Layers and images.

use std::io::Write;

use sha2::{Digest, Sha256};
use tar::{EntryType, Header};

pub fn sha256(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect();
    format!("sha256:{hex}")
}

pub fn sha512(bytes: &[u8]) -> String {
    let hex: String = sha2::Sha512::digest(bytes).iter().map(|b| format!("{b:02x}")).collect();
    format!("sha512:{hex}")
}

/// A tar in which any name can stand.
#[derive(Default)]
pub struct Tar(Vec<u8>);

impl Tar {
    pub fn new() -> Self {
        Tar::default()
    }

    pub fn entry(mut self, kind: EntryType, name: &str, link: &str, mode: u32, content: &[u8]) -> Self {
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_mode(mode);
        header.set_mtime(1_000_000_000);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(content.len() as u64);
        if kind == EntryType::Char || kind == EntryType::Block {
            header.set_device_major(u32::from(!content.is_empty())).unwrap();
            header.set_device_minor(u32::from(!content.is_empty()) * 5).unwrap();
            header.set_size(0);
            header.set_cksum();
            return self.raw(&header, &[]);
        }
        header.set_cksum();
        self = self.raw(&header, content);
        self
    }

    fn raw(mut self, header: &Header, content: &[u8]) -> Self {
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub fn file(self, name: &str, mode: u32, content: &[u8]) -> Self {
        self.entry(EntryType::Regular, name, "", mode, content)
    }

    pub fn dir(self, name: &str) -> Self {
        self.entry(EntryType::Directory, name, "", 0o755, b"")
    }

    pub fn symlink(self, name: &str, to: &str) -> Self {
        self.entry(EntryType::Symlink, name, to, 0o777, b"")
    }

    pub fn hard_link(self, name: &str, to: &str) -> Self {
        self.entry(EntryType::Link, name, to, 0o644, b"")
    }

    /// Records for the next entry.
    pub fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut content = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let mut length = rest + 1;
            while length != rest + length.to_string().len() {
                length = rest + length.to_string().len();
            }
            content.extend([format!("{length} {key}=").as_bytes(), value, b"\n"].concat());
        }
        self.entry(EntryType::XHeader, "pax", "", 0o644, &content)
    }

    pub fn bytes(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

#[derive(Clone, Copy)]
pub enum Packed {
    Plain,
    Gzip,
    Zstd,
}

/// A manifest, its config and its layers.
#[derive(Clone)]
pub struct Image {
    pub manifest: Vec<u8>,
    pub config: Vec<u8>,
    pub layers: Vec<Vec<u8>>,
    pub tars: Vec<Vec<u8>>,
}

impl Image {
    pub fn id(&self) -> String {
        sha256(&self.config)
    }

    /// As `docker save` writes it.
    pub fn docker_archive(&self, tag: &str) -> Vec<u8> {
        let names: Vec<String> = (0..self.tars.len()).map(|i| format!("{i}/layer.tar")).collect();
        let manifest = serde_json::json!([{"Config": "config.json", "RepoTags": [tag], "Layers": names}]);
        let mut tar = Tar::new().file("config.json", 0o644, &self.config);
        for (name, layer) in names.iter().zip(&self.tars) {
            tar = tar.file(name, 0o644, layer);
        }
        tar.file("manifest.json", 0o644, manifest.to_string().as_bytes()).bytes()
    }

    /// As an OCI layout.
    pub fn oci_archive(&self, name: &str) -> Vec<u8> {
        let index = serde_json::json!({"schemaVersion": 2, "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": sha256(&self.manifest),
            "size": self.manifest.len(), "annotations": {"io.containerd.image.name": name}}]});
        let mut tar = Tar::new().file("index.json", 0o644, index.to_string().as_bytes());
        for blob in self.layers.iter().chain([&self.manifest, &self.config]) {
            // The ustar name field holds 100 bytes, this has 76.
            tar = tar.file(&format!("blobs/{}", sha256(blob).replacen(':', "/", 1)), 0o644, blob);
        }
        tar.bytes()
    }
}

pub fn image(layers: &[(Vec<u8>, Packed)]) -> Image {
    let tars: Vec<Vec<u8>> = layers.iter().map(|(tar, _)| tar.clone()).collect();
    let diff_ids: Vec<String> = tars.iter().map(|t| sha256(t)).collect();
    let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let config = serde_json::json!({"architecture": arch, "os": "linux", "config": {"Cmd": ["/bin/sh"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids}});
    let config = config.to_string().into_bytes();
    let layers: Vec<Vec<u8>> = layers.iter().map(|(tar, packed)| pack(tar, *packed)).collect();
    let described: Vec<_> = layers
        .iter()
        .map(|l| serde_json::json!({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": sha256(l), "size": l.len()}))
        .collect();
    let manifest = serde_json::json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": sha256(&config), "size": config.len()},
        "layers": described});
    Image { manifest: manifest.to_string().into_bytes(), config, layers, tars }
}

fn pack(tar: &[u8], packed: Packed) -> Vec<u8> {
    match packed {
        Packed::Plain => tar.to_vec(),
        Packed::Zstd => zstd::stream::encode_all(tar, 1).unwrap(),
        Packed::Gzip => {
            let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            writer.write_all(tar).unwrap();
            writer.finish().unwrap()
        }
    }
}
