//! Images with the probe in them, and layers that no tool would write.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use cofferdam_test_images::image::{Image, ImageSpec, blob_of, descriptor};
use cofferdam_test_images::layer::{Blob, Compression, Layer, compress};
use serde_json::{Value, json};

/// Where the probe is in an image.
pub const PROBE: &str = "/peer/probe";

/// The programs: the probe with the libraries that it was linked with, and the one that asks for system calls.
pub fn programs(probe: &str) -> Result<Layer> {
    let mut layer = Layer::new().file("peer/probe", 0o755, fs::read(probe).with_context(|| probe.to_owned())?);
    let listed = Command::new("ldd").arg(probe).output().context("run ldd")?;
    ensure!(listed.status.success(), "ldd {probe}: {}", listed.status);
    let text = String::from_utf8(listed.stdout)?;
    for library in text.split_whitespace().filter(|word| word.starts_with('/')) {
        let data = fs::read(library).with_context(|| library.to_owned())?;
        layer = layer.file(library.trim_start_matches('/'), 0o755, data);
    }
    Ok(layer.file("peer/syscalls", 0o755, syscalls()?))
}

fn syscalls() -> Result<Vec<u8>> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("probe/syscalls.c");
    let out = std::env::temp_dir().join(format!("cofferdam-peer-syscalls-{}", std::process::id()));
    let status = Command::new("gcc").args(["-static", "-O1", "-s", "-o"]).arg(&out).arg(&source).status();
    let status = status.context("run gcc (tests/setup/apt.sh build installs it)")?;
    ensure!(status.success(), "gcc {}: {status}", source.display());
    let data = fs::read(&out)?;
    fs::remove_file(&out)?;
    Ok(data)
}

/// Users and the directories that every image has.
pub fn system() -> Layer {
    let passwd = "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33:www-data:/var/www:/bin/sh\n\
                  worker:x:1002:1003:worker:/home/worker:/bin/sh\n";
    let group = "root:x:0:\nwww-data:x:33:worker\nworker:x:1003:\nextra:x:50000:worker,www-data\n";
    Layer::new()
        .file("etc/passwd", 0o644, passwd)
        .file("etc/group", 0o644, group)
        .dir("root", 0o700)
        .dir("tmp", 0o1777)
        .dir("home/worker", 0o755)
        .owner("home/worker", 1002, 1003)
        .dir("var/www", 0o755)
}

/// An image of programs and users.
pub fn usual(programs: &Layer) -> ImageSpec {
    ImageSpec::new()
        .layer(system())
        .layer(programs.clone())
        .set("Entrypoint", json!([PROBE]))
        .set("Cmd", json!(["see"]))
}

/// A layer as a tar, and as it travels.
#[derive(Clone, Debug)]
pub struct Packed {
    tar: Blob,
    travels: Blob,
}

impl Packed {
    /// Compresses a tar.
    pub fn new(tar: Vec<u8>) -> Result<Self> {
        let travels = Blob::new(compress(&tar, Compression::Gzip)?);
        Ok(Self { tar: Blob::new(tar), travels })
    }
}

/// The layers below the odd ones, packed once for all images.
pub fn lower(programs: &Layer) -> Result<Vec<Packed>> {
    Ok(vec![Packed::new(system().tar()?)?, Packed::new(programs.tar()?)?])
}

/// An image of these layers, lowest first.
pub fn from_layers(layers: &[Packed]) -> Result<Image> {
    let diff_ids: Vec<&str> = layers.iter().map(|layer| layer.tar.digest.as_str()).collect();
    let config = blob_of(&json!({
        "created": "1970-01-01T00:00:00Z", "architecture": "amd64", "os": "linux",
        "config": {"Entrypoint": [PROBE]}, "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }))?;
    let described = layers.iter().map(|layer| descriptor(LAYER_TYPE, &layer.travels));
    let described: Vec<Value> = described.collect();
    let mut image = ImageSpec::new().build()?;
    image.manifest = blob_of(&json!({
        "schemaVersion": 2, "mediaType": image.media_type,
        "config": descriptor("application/vnd.oci.image.config.v1+json", &config), "layers": described,
    }))?;
    image.config = config;
    image.layers = layers.iter().map(|layer| layer.travels.clone()).collect();
    image.tars = layers.iter().map(|layer| layer.tar.clone()).collect();
    Ok(image)
}

const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// A tar of entries in the order of adding, with whatever names, kinds and numbers they are given.
#[derive(Debug)]
pub struct RawTar {
    bytes: Vec<u8>,
}

impl Default for RawTar {
    fn default() -> Self {
        Self::new()
    }
}

/// What an entry is.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The name as it stands in the tar.
    pub name: &'a str,
    /// Its kind as tar has it.
    pub kind: tar::EntryType,
    /// Permissions.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u64, u64),
    /// Where a link leads.
    pub link: &'a str,
    /// Number of a device.
    pub device: (u32, u32),
    /// Content.
    pub data: &'a [u8],
}

impl<'a> Entry<'a> {
    /// A regular file of root.
    pub fn file(name: &'a str, data: &'a [u8]) -> Self {
        Self { name, kind: tar::EntryType::Regular, mode: 0o644, owner: (0, 0), link: "", device: (0, 0), data }
    }

    /// A directory of root.
    pub fn dir(name: &'a str) -> Self {
        Self { kind: tar::EntryType::Directory, mode: 0o755, ..Self::file(name, b"") }
    }

    /// A link of either kind.
    pub fn link(kind: tar::EntryType, name: &'a str, link: &'a str) -> Self {
        Self { kind, link, mode: 0o777, ..Self::file(name, b"") }
    }
}

impl RawTar {
    /// No entries.
    pub fn new() -> Self {
        Self { bytes: Vec::new() }
    }

    /// Adds an entry. Names go into the header as they are, and must fit.
    #[must_use]
    pub fn entry(mut self, entry: &Entry<'_>) -> Self {
        let mut header = tar::Header::new_ustar();
        let old = header.as_old_mut();
        let fill = |field: &mut [u8], text: &str| {
            let length = text.len().min(field.len());
            field[..length].copy_from_slice(&text.as_bytes()[..length]);
        };
        fill(&mut old.name, entry.name);
        fill(&mut old.linkname, entry.link);
        header.set_entry_type(entry.kind);
        header.set_mode(entry.mode);
        header.set_uid(entry.owner.0);
        header.set_gid(entry.owner.1);
        header.set_mtime(1_000_000_000);
        header.set_size(entry.data.len() as u64);
        // Only ustar and GNU headers have numbers of devices, and this is one.
        let _ = header.set_device_major(entry.device.0);
        let _ = header.set_device_minor(entry.device.1);
        header.set_cksum();
        self.bytes.extend_from_slice(header.as_bytes());
        self.data(entry.data);
        self
    }

    /// Adds a pax header for the next entry.
    #[must_use]
    pub fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let data: Vec<u8> = records.iter().flat_map(|(name, value)| pax_record(name, value)).collect();
        self.entry(&Entry { kind: tar::EntryType::XHeader, ..Entry::file("PaxHeaders/next", &data) })
    }

    /// The tar with its end.
    pub fn finish(mut self) -> Vec<u8> {
        self.bytes.extend_from_slice(&[0; 1024]);
        self.bytes
    }

    fn data(&mut self, data: &[u8]) {
        self.bytes.extend_from_slice(data);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
    }
}

/// `LENGTH NAME=VALUE\n`, where the length counts itself.
fn pax_record(name: &str, value: &[u8]) -> Vec<u8> {
    let rest = name.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    let mut record = format!("{length} {name}=").into_bytes();
    record.extend_from_slice(value);
    record.push(b'\n');
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_a_pax_record_counts_itself() {
        assert_eq!(pax_record("path", b"x"), b"9 path=x\n");
        for length in [1, 90, 91, 92, 93, 990] {
            let record = pax_record("path", &vec![b'a'; length]);
            let told: usize = String::from_utf8_lossy(&record).split(' ').next().unwrap().parse().unwrap();
            assert_eq!(told, record.len());
        }
    }

    #[test]
    fn a_raw_tar_can_be_read_again() {
        let tar = RawTar::new().pax(&[("path", b"long")]).entry(&Entry::file("short", b"data")).finish();
        let mut archive = tar::Archive::new(tar.as_slice());
        let paths: Vec<_> = archive.entries().unwrap().map(|e| e.unwrap().path().unwrap().into_owned()).collect();
        assert_eq!(paths, [Path::new("long")]);
    }
}
