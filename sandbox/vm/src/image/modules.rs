//! Which kernel modules the guest loads at boot, and in which order.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use object::read::elf::ElfFile64;
use object::{Object, ObjectSection};

use super::error::ImageError;

/// What the agent needs before it can serve. Every one costs boot time, so what a pod may want later is not here.
pub const WANTED: [&str; 4] = ["virtio_pci", "virtio_console", "virtio_net", "virtiofs"];

/// One module file.
#[derive(Debug, PartialEq, Eq)]
pub struct Module {
    /// Name with underscores.
    pub name: String,
    /// The `.ko`, decompressed.
    pub content: Vec<u8>,
}

/// The wanted modules and what they depend on, dependencies first. What is built into the kernel is passed over.
pub fn select(tree: &Path) -> Result<Vec<Module>, ImageError> {
    let files = files_below(tree)?;
    let builtin = builtin(tree)?;
    let mut order = Vec::new();
    for name in WANTED {
        visit(name, &files, &builtin, &mut BTreeSet::new(), &mut order)?;
    }
    Ok(order)
}

fn visit(
    name: &str,
    files: &BTreeMap<String, PathBuf>,
    builtin: &BTreeSet<String>,
    above: &mut BTreeSet<String>,
    order: &mut Vec<Module>,
) -> Result<(), ImageError> {
    if builtin.contains(name) || order.iter().any(|module| module.name == name) {
        return Ok(());
    }
    let path = files
        .get(name)
        .ok_or_else(|| ImageError::Module { name: name.to_owned(), reason: "the kernel has no such module".into() })?;
    if !above.insert(name.to_owned()) {
        return Err(ImageError::Module { name: name.to_owned(), reason: "it depends on itself".into() });
    }
    let content = unsigned(load(path)?);
    for dependency in dependencies(name, &content)? {
        visit(&dependency, files, builtin, above, order)?;
    }
    order.push(Module { name: name.to_owned(), content });
    Ok(())
}

fn underscored(stem: &str) -> String {
    stem.replace('-', "_")
}

fn files_below(tree: &Path) -> Result<BTreeMap<String, PathBuf>, ImageError> {
    let mut files = BTreeMap::new();
    let mut pending = vec![tree.join("kernel")];
    while let Some(dir) = pending.pop() {
        for entry in std::fs::read_dir(&dir).map_err(ImageError::io("read", &dir))? {
            let entry = entry.map_err(ImageError::io("read", &dir))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                pending.push(entry.path());
            } else if let Some((stem, "" | ".zst" | ".gz")) = name.split_once(".ko") {
                files.insert(underscored(stem), entry.path());
            }
        }
    }
    Ok(files)
}

fn builtin(tree: &Path) -> Result<BTreeSet<String>, ImageError> {
    let path = tree.join("modules.builtin");
    let text = std::fs::read_to_string(&path).map_err(ImageError::io("read", &path))?;
    Ok(text
        .lines()
        .filter_map(|line| Path::new(line).file_stem())
        .map(|stem| underscored(&stem.to_string_lossy()))
        .collect())
}

fn load(path: &Path) -> Result<Vec<u8>, ImageError> {
    let bytes = std::fs::read(path).map_err(ImageError::io("read", path))?;
    let plain = match path.extension().and_then(|extension| extension.to_str()) {
        Some("zst") => zstd::decode_all(&bytes[..]),
        Some("gz") => {
            let mut plain = Vec::new();
            std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&bytes[..]), &mut plain).map(|_| plain)
        }
        _ => Ok(bytes),
    };
    plain.map_err(ImageError::io("decompress", path))
}

/// Behind a signed module: the signature, 12 bytes about it that end with its length, and this.
const SIGNED: &[u8] = b"~Module signature appended~\n";

// Checking eleven RSA signatures takes an emulated guest 0.3 s, and would only tell that the host's files are the
// host's files.
fn unsigned(mut content: Vec<u8>) -> Vec<u8> {
    let Some(head) = content.strip_suffix(SIGNED) else { return content };
    let length = head.last_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes) as usize);
    if let Some(end) = length.and_then(|length| head.len().checked_sub(12)?.checked_sub(length)) {
        content.truncate(end);
    }
    content
}

// `depends=a,b` in the section .modinfo: what depmod would put into modules.dep, which packages not installed do not
// have.
fn dependencies(name: &str, content: &[u8]) -> Result<Vec<String>, ImageError> {
    let bad = |reason: String| ImageError::Module { name: name.to_owned(), reason };
    let elf = ElfFile64::<object::Endianness>::parse(content).map_err(|error| bad(error.to_string()))?;
    let section = elf.section_by_name(".modinfo").ok_or_else(|| bad("it has no .modinfo".into()))?;
    let data = section.data().map_err(|error| bad(error.to_string()))?;
    let depends = data.split(|byte| *byte == 0).find_map(|field| field.strip_prefix(b"depends="));
    let depends = String::from_utf8_lossy(depends.unwrap_or_default()).into_owned();
    Ok(depends.split(',').filter(|name| !name.is_empty()).map(underscored).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_cut_off_and_what_has_none_stays() {
        let trailer = [&[0; 8][..], &5u32.to_be_bytes(), SIGNED].concat();
        assert_eq!(unsigned([b"moduleSIGNA", &trailer[..]].concat()), b"module");
        assert_eq!(unsigned(b"module".to_vec()), b"module");
        let bad = [&[0; 8][..], &500u32.to_be_bytes(), SIGNED].concat();
        assert_eq!(unsigned(bad.clone()), bad);
    }
}
