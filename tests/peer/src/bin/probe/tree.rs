//! The files below a directory, each as one line of facts.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::mounts::kind;
use crate::process::{cause, link};

/// Every file by its path. Names of the same file (hard links) share the name of the first of them.
pub fn below(dir: &str) -> Value {
    let mut found = serde_json::Map::new();
    let mut first_names = BTreeMap::new();
    walk(Path::new(dir), &mut found, &mut first_names);
    found.into()
}

fn walk(path: &Path, found: &mut serde_json::Map<String, Value>, first_names: &mut BTreeMap<u64, String>) {
    let name = path.to_string_lossy().into_owned();
    found.insert(name.clone(), json!(describe(path, &name, first_names)));
    if !fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir()) {
        return;
    }
    let mut entries: Vec<_> = fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    entries.sort();
    for entry in entries {
        walk(&entry, found, first_names);
    }
}

fn describe(path: &Path, name: &str, first_names: &mut BTreeMap<u64, String>) -> String {
    let meta = match fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(error) => return cause(&error),
    };
    let mut facts =
        vec![kind(&meta), format!("{:04o}", meta.mode() & 0o7777), format!("{}:{}", meta.uid(), meta.gid())];
    facts.push(time(&meta));
    if meta.is_symlink() {
        facts.push(format!("to {}", link(name)));
    }
    if meta.is_file() {
        facts.push(content(path, &meta));
        if meta.nlink() > 1 {
            let first = first_names.entry(meta.ino()).or_insert_with(|| name.to_owned());
            facts.push(format!("{} links, first {first}", meta.nlink()));
        }
    }
    facts.extend(attributes(path));
    facts.join(", ")
}

/// When it was changed; what has no time in the layer has that of the unpacking.
fn time(meta: &fs::Metadata) -> String {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs();
    let age = now.abs_diff(u64::try_from(meta.mtime()).unwrap_or_default());
    if age < 3600 { "at unpacking".to_owned() } else { format!("at {}.{:09}", meta.mtime(), meta.mtime_nsec()) }
}

fn content(path: &Path, meta: &fs::Metadata) -> String {
    let data = match fs::read(path) {
        Ok(data) => data,
        Err(error) => return cause(&error),
    };
    let sum =
        data.iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
    let holes = if meta.blocks() * 512 < meta.size() / 2 { ", with holes" } else { "" };
    format!("{} bytes {sum:016x}{holes}", data.len())
}

fn attributes(path: &Path) -> Vec<String> {
    let mut names = vec![0; 4096];
    let Ok(length) = rustix::fs::llistxattr(path, names.as_mut_slice()) else { return Vec::new() };
    let text = String::from_utf8_lossy(&names[..length]).into_owned();
    let value = |name: &str| {
        let mut value = vec![0; 4096];
        let length = rustix::fs::lgetxattr(path, name, value.as_mut_slice()).unwrap_or_default();
        value[..length].iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    text.split_terminator('\0').map(|name| format!("{name}={}", value(name))).collect()
}
