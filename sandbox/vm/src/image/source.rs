//! Where the guest's kernel comes from: the distribution's package, installed or not.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::error::ImageError;

/// Where to take the kernel from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KernelSource {
    /// The newest installed cloud kernel (`/boot/vmlinuz-*-cloud-amd64`), else a cached package, else the one that
    /// Debian's `linux-image-cloud-amd64` depends on, downloaded with apt-get.
    Auto,
    /// A kernel package (`.deb`).
    Package(PathBuf),
    /// A bzImage and its tree of modules (`/lib/modules/RELEASE`).
    Files {
        /// The bzImage.
        kernel: PathBuf,
        /// The directory with `kernel/` and `modules.builtin`.
        modules: PathBuf,
    },
}

/// A kernel on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// `uname -r`.
    pub release: String,
    /// The bzImage.
    pub image: PathBuf,
    /// `/lib/modules/RELEASE`, wherever it is.
    pub modules: PathBuf,
}

const FLAVOUR: &str = "-cloud-amd64";
const META_PACKAGE: &str = "linux-image-cloud-amd64";

impl KernelSource {
    /// Finds it, with `cache` for what has to be downloaded and unpacked.
    pub fn locate(&self, cache: &Path) -> Result<Kernel, ImageError> {
        match self {
            KernelSource::Files { kernel, modules } => {
                let release = modules.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                Ok(Kernel { release, image: kernel.clone(), modules: modules.clone() })
            }
            KernelSource::Package(package) => unpack(package, cache),
            KernelSource::Auto => match newest(Path::new("/"))? {
                Some(kernel) => Ok(kernel),
                None => unpack(&package(cache)?, cache),
            },
        }
    }
}

/// The newest cloud kernel below a root, if it has one with its modules.
fn newest(root: &Path) -> Result<Option<Kernel>, ImageError> {
    let boot = root.join("boot");
    let mut kernels = Vec::new();
    for name in names(&boot)? {
        let Some(release) = name.strip_prefix("vmlinuz-").filter(|release| release.ends_with(FLAVOUR)) else {
            continue;
        };
        let trees = [root.join("lib/modules").join(release), root.join("usr/lib/modules").join(release)];
        if let Some(modules) = trees.into_iter().find(|tree| tree.join("modules.builtin").is_file()) {
            kernels
                .push((version_key(release), Kernel { release: release.to_owned(), image: boot.join(&name), modules }));
        }
    }
    Ok(kernels.into_iter().max_by(|a, b| a.0.cmp(&b.0)).map(|(_, kernel)| kernel))
}

fn names(dir: &Path) -> Result<Vec<String>, ImageError> {
    match std::fs::read_dir(dir) {
        Ok(entries) => Ok(entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(ImageError::io("read", dir)(error)),
    }
}

// "6.1.0-56" is newer than "6.1.0-9": compare the numbers.
fn version_key(text: &str) -> Vec<u64> {
    text.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
}

fn package(cache: &Path) -> Result<PathBuf, ImageError> {
    std::fs::create_dir_all(cache).map_err(ImageError::io("create", cache))?;
    if let Some(cached) = cached_package(cache)? {
        return Ok(cached);
    }
    let name = depended_on(&run(Command::new("apt-cache").args(["depends", META_PACKAGE]))?)?;
    // As apt's own user cannot write to a private cache; the package is still checked against the signed index.
    run(Command::new("apt-get").args(["-o", "APT::Sandbox::User=root", "download", &name]).current_dir(cache))?;
    cached_package(cache)?
        .ok_or_else(|| ImageError::Kernel(format!("apt-get download {name} left no package in {}", cache.display())))
}

fn cached_package(cache: &Path) -> Result<Option<PathBuf>, ImageError> {
    let is_package =
        |name: &String| name.starts_with("linux-image-") && name.contains(FLAVOUR) && name.ends_with(".deb");
    let newest = names(cache)?.into_iter().filter(is_package).max_by_key(|name| version_key(name));
    Ok(newest.map(|name| cache.join(name)))
}

fn depended_on(listing: &str) -> Result<String, ImageError> {
    let mut names = listing.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    names.find(|name| name.starts_with("linux-image-")).map(str::to_owned).ok_or_else(|| {
        ImageError::Kernel(format!(
            "apt knows no kernel behind {META_PACKAGE} (apt-get update may help); --kernel takes a package file"
        ))
    })
}

fn unpack(package: &Path, cache: &Path) -> Result<Kernel, ImageError> {
    let stem = package.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let target = cache.join("unpacked").join(stem);
    if !target.is_dir() {
        let parent = cache.join("unpacked");
        std::fs::create_dir_all(&parent).map_err(ImageError::io("create", &parent))?;
        let temporary =
            tempfile::Builder::new().prefix(".new-").tempdir_in(&parent).map_err(ImageError::io("create", &parent))?;
        run(Command::new("dpkg-deb").arg("--extract").arg(package).arg(temporary.path()))?;
        match std::fs::rename(temporary.path(), &target) {
            Ok(()) => drop(temporary.keep()),
            Err(_) if target.is_dir() => {}
            Err(error) => return Err(ImageError::io("rename to", &target)(error)),
        }
    }
    newest(&target)?.ok_or_else(|| ImageError::Kernel(format!("{} holds no kernel with modules", package.display())))
}

fn run(command: &mut Command) -> Result<String, ImageError> {
    let tool = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| ImageError::Kernel(format!("{tool}: {error}")))?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(ImageError::Kernel(format!("{tool}: {}: {reason}", output.status)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_kernel_with_modules_is_taken() {
        let root = tempfile::tempdir().unwrap();
        let make = |path: String| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        };
        for release in ["6.1.0-9-cloud-amd64", "6.1.0-56-cloud-amd64", "6.9.0-1-amd64"] {
            make(format!("boot/vmlinuz-{release}"));
            make(format!("lib/modules/{release}/modules.builtin"));
        }
        make("boot/vmlinuz-6.12.0-1-cloud-amd64".into());
        assert_eq!(newest(root.path()).unwrap().unwrap().release, "6.1.0-56-cloud-amd64");
    }

    #[test]
    fn the_package_behind_the_meta_package_is_found() {
        let listing = "linux-image-cloud-amd64\n  Depends: linux-image-6.1.0-56-cloud-amd64\n";
        assert_eq!(depended_on(listing).unwrap(), "linux-image-6.1.0-56-cloud-amd64");
        assert!(depended_on("").unwrap_err().to_string().contains("apt-get update"));
    }
}
