//! The guest image: kernel and initramfs, made from the distribution's kernel package and the agent.
//!
//! ```text
//! IMAGE_DIR/KEY/{vmlinux,initramfs,manifest.json}    KEY: digest of everything that goes in
//! IMAGE_DIR/current -> KEY                           replaced by rename
//! ```

mod bzimage;
mod cpio;
mod error;
mod modules;
mod source;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use bzimage::{BzImageError, extract_elf};
pub use error::ImageError;
pub use source::{Kernel, KernelSource};

/// Raised when the same input shall give another image.
const FORMAT: u32 = 1;
const CURRENT: &str = "current";
const KERNEL: &str = "vmlinux";
const INITRAMFS: &str = "initramfs";
const MANIFEST: &str = "manifest.json";

/// What to build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildConfig {
    /// Where images go.
    pub image_dir: PathBuf,
    /// The kernel.
    pub kernel: KernelSource,
    /// The agent: a static binary.
    pub agent: PathBuf,
    /// For packages.
    pub cache: PathBuf,
}

/// A guest image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The ELF kernel.
    pub kernel: PathBuf,
    /// The initramfs.
    pub initramfs: PathBuf,
    /// What it is.
    pub manifest: Manifest,
}

/// What stands beside an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Digest of all that the image is made of: another key means that it has to be built again.
    pub key: String,
    /// `uname -r` of the guest.
    pub kernel_release: String,
    /// sha256 of the ELF kernel, hex.
    pub kernel_sha256: String,
    /// Its length in bytes.
    pub kernel_bytes: u64,
    /// sha256 of the initramfs, hex.
    pub initramfs_sha256: String,
    /// Its length in bytes.
    pub initramfs_bytes: u64,
    /// sha256 of the agent, hex.
    pub agent_sha256: String,
    /// Modules in load order.
    pub modules: Vec<String>,
}

/// What a build did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The image that is current now.
    pub image: Image,
    /// Nothing had changed, so nothing was built.
    pub cached: bool,
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Builds the image, unless the current one is of the same kernel and agent, and makes it current.
pub fn build(config: &BuildConfig) -> Result<Report, ImageError> {
    let read = |path: &Path| std::fs::read(path).map_err(ImageError::io("read", path));
    let agent = read(&config.agent)?;
    let kernel = config.kernel.locate(&config.cache)?;
    let packed = read(&kernel.image)?;
    let modules = modules::select(&kernel.modules)?;
    let agent_sha256 = sha256(&agent);
    let mut key = Sha256::new();
    key.update(format!("{FORMAT}\n{}\n{agent_sha256}\n{}\n", kernel.release, sha256(&packed)));
    modules.iter().for_each(|module| key.update(format!("{} {}\n", module.name, sha256(&module.content))));
    let key: String = key.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    if let Ok(image) = find(&config.image_dir)
        && image.manifest.key == key
    {
        return Ok(Report { image, cached: true });
    }
    let elf = extract_elf(&packed).map_err(|source| ImageError::BzImage { path: kernel.image.clone(), source })?;
    let initramfs = initramfs(&agent, &modules);
    let manifest = Manifest {
        key,
        kernel_release: kernel.release,
        kernel_sha256: sha256(&elf),
        kernel_bytes: elf.len() as u64,
        initramfs_sha256: sha256(&initramfs),
        initramfs_bytes: initramfs.len() as u64,
        agent_sha256,
        modules: modules.into_iter().map(|module| module.name).collect(),
    };
    install(&config.image_dir, &manifest, &elf, &initramfs)?;
    Ok(Report { image: find(&config.image_dir)?, cached: false })
}

// Uncompressed: under emulation the guest would spend longer on inflating it than the host on reading it.
fn initramfs(agent: &[u8], modules: &[modules::Module]) -> Vec<u8> {
    let mut archive = cpio::Archive::default();
    for dir in ["dev", "modules", "proc", "root", "run", "sys", "tmp"] {
        archive.directory(dir);
    }
    archive.character_device("dev/console", 0o600, 5, 1);
    archive.file("init", 0o755, agent);
    for (number, module) in modules.iter().enumerate() {
        archive.file(&format!("modules/{number:02}-{}.ko", module.name), 0o644, &module.content);
    }
    archive.finish()
}

fn install(dir: &Path, manifest: &Manifest, kernel: &[u8], initramfs: &[u8]) -> Result<(), ImageError> {
    std::fs::create_dir_all(dir).map_err(ImageError::io("create", dir))?;
    let new = tempfile::Builder::new().prefix(".new-").tempdir_in(dir).map_err(ImageError::io("create", dir))?;
    let json = serde_json::to_vec_pretty(manifest).unwrap_or_default();
    for (name, content) in [(KERNEL, kernel), (INITRAMFS, initramfs), (MANIFEST, &json)] {
        let path = new.path().join(name);
        let write = || -> std::io::Result<()> {
            std::fs::write(&path, content)?;
            std::fs::File::open(&path)?.sync_all()
        };
        write().map_err(ImageError::io("write", &path))?;
    }
    // QEMU reads these under a UID of the pod's own.
    open_to_all(new.path())?;
    let target = dir.join(&manifest.key);
    match std::fs::remove_dir_all(&target) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(ImageError::io("replace", &target)(error));
        }
        _ => {}
    }
    std::fs::rename(new.path(), &target).map_err(ImageError::io("rename to", &target))?;
    drop(new.keep());
    let link = dir.join(format!(".{CURRENT}-{}", std::process::id()));
    let _ = std::fs::remove_file(&link);
    std::os::unix::fs::symlink(&manifest.key, &link).map_err(ImageError::io("create", &link))?;
    let current = dir.join(CURRENT);
    std::fs::rename(&link, &current).map_err(ImageError::io("replace", &current))?;
    remove_others(dir, &manifest.key)
}

fn open_to_all(dir: &Path) -> Result<(), ImageError> {
    use std::os::unix::fs::PermissionsExt;
    let set = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode));
    set(dir, 0o755).map_err(ImageError::io("open", dir))?;
    for name in [KERNEL, INITRAMFS, MANIFEST] {
        let path = dir.join(name);
        set(&path, 0o644).map_err(ImageError::io("open", &path))?;
    }
    Ok(())
}

// VMs that run hold what they need open.
fn remove_others(dir: &Path, key: &str) -> Result<(), ImageError> {
    for entry in std::fs::read_dir(dir).map_err(ImageError::io("read", dir))?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_image = name.len() == key.len() && name.chars().all(|c| c.is_ascii_hexdigit());
        if is_image && name != key {
            std::fs::remove_dir_all(entry.path()).map_err(ImageError::io("remove", &entry.path()))?;
        }
    }
    Ok(())
}

/// The current image, or why there is none; says how to make one.
pub fn find(image_dir: &Path) -> Result<Image, ImageError> {
    let missing = |reason: String| ImageError::Missing { dir: image_dir.to_owned(), reason };
    let link = image_dir.join(CURRENT);
    let key = std::fs::read_link(&link).map_err(|error| missing(format!("{}: {error}", link.display())))?;
    let dir = image_dir.join(key);
    let manifest = dir.join(MANIFEST);
    let json = std::fs::read(&manifest).map_err(|error| missing(format!("{}: {error}", manifest.display())))?;
    let manifest: Manifest =
        serde_json::from_slice(&json).map_err(|error| missing(format!("{}: {error}", manifest.display())))?;
    let image = Image { kernel: dir.join(KERNEL), initramfs: dir.join(INITRAMFS), manifest };
    for (path, bytes) in
        [(&image.kernel, image.manifest.kernel_bytes), (&image.initramfs, image.manifest.initramfs_bytes)]
    {
        let length = std::fs::metadata(path).map_err(|error| missing(format!("{}: {error}", path.display())))?.len();
        if length != bytes {
            return Err(missing(format!("{} has {length} bytes, its manifest says {bytes}", path.display())));
        }
    }
    Ok(image)
}
