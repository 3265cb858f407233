//! Where the binaries under test, the real clients and the caches are.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Context as _, Result, anyhow, ensure};
use cofferdam_test_images::{cache_dir, debian};

use crate::run::run;

const VERSIONS: &str = include_str!("../../setup/versions.env");

/// The directory of `cofferdam`, `cofferdam-shim` and `cofferdam-agent`: `COFFERDAM_BIN_DIR`, else `bin/` of the
/// workspace.
pub fn bin_dir() -> PathBuf {
    std::env::var_os("COFFERDAM_BIN_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bin"), PathBuf::from)
}

/// The binary under test.
pub fn cofferdam() -> Result<PathBuf> {
    let path = bin_dir().join("cofferdam");
    ensure!(path.is_file(), "no {}: `make build` comes first", path.display());
    path.canonicalize().with_context(|| path.display().to_string())
}

/// crictl, of the version that `tests/setup/versions.env` names.
pub fn crictl_path() -> Result<PathBuf> {
    tool(&format!("cri-tools-{}/crictl", version("CRI_TOOLS_VERSION")?), "cri-tools")
}

/// critest, of the same version.
pub fn critest_path() -> Result<PathBuf> {
    tool(&format!("cri-tools-{}/critest", version("CRI_TOOLS_VERSION")?), "critest")
}

/// kubelet.
pub fn kubelet_path() -> Result<PathBuf> {
    kubernetes_path("kubelet", "kubelet")
}

/// A program of k8s.io/kubernetes, and the group of `tests/setup/go.sh` that builds it.
pub fn kubernetes_path(program: &str, group: &str) -> Result<PathBuf> {
    tool(&format!("kubernetes-{}/{program}", version("KUBERNETES_VERSION")?), group)
}

/// containerd; its shim is in the same directory.
pub fn containerd_path() -> Result<PathBuf> {
    let dir = format!("containerd-{}", version("CONTAINERD_VERSION")?);
    tool(&format!("{dir}/containerd-shim-runc-v2"), "containerd")?;
    tool(&format!("{dir}/containerd"), "containerd")
}

/// The source of containerd's default seccomp profile.
pub fn containerd_seccomp() -> Result<PathBuf> {
    tool(&format!("containerd-{}/seccomp_default.go", version("CONTAINERD_VERSION")?), "containerd-seccomp")
}

/// runc.
pub fn runc_path() -> Result<PathBuf> {
    tool(&format!("runc-{}/runc", version("RUNC_VERSION")?), "runc")
}

/// The `api.proto` of k8s.io/cri-api.
pub fn api_proto() -> Result<PathBuf> {
    tool(&format!("cri-api-{}/api.proto", version("CRI_API_VERSION")?), "cri-api")
}

/// The Debian package with the guest's kernel, downloaded, not installed.
pub fn guest_kernel_package() -> Result<PathBuf> {
    debian::packages(&["guest-kernel"])?.pop().context("no guest kernel")
}

/// The guest's kernel and initramfs, kept outside the tree: `COFFERDAM_VM_IMAGE_DIR`, else below the cache.
pub fn vm_image_dir() -> PathBuf {
    std::env::var_os("COFFERDAM_VM_IMAGE_DIR").map_or_else(|| cache_dir().join("vm"), PathBuf::from)
}

/// Makes or renews the guest's kernel and initramfs with `cofferdam vm-image build`, once a process; cheap when nothing
/// changed.
pub fn ensure_vm_image() -> Result<PathBuf> {
    static DONE: Mutex<bool> = Mutex::new(false);
    let dir = vm_image_dir();
    let mut done = DONE.lock().map_err(|_| anyhow!("an earlier build panicked"))?;
    if !*done {
        fs::create_dir_all(&dir)?;
        let lock = File::create(dir.with_extension("lock"))?;
        lock.lock()?;
        let config = dir.with_extension("toml");
        fs::write(&config, format!("[vm]\nimage_dir = \"{}\"\n", dir.display()))?;
        let config = config.display().to_string();
        run(cofferdam()?, ["vm-image", "build", "--config", &config])?;
        *done = true;
    }
    Ok(dir)
}

/// A cached tool; `tests/setup/go.sh` builds it when it is not there.
fn tool(below: &str, group: &str) -> Result<PathBuf> {
    let path = cache_dir().join("tools").join(below);
    if !path.is_file() {
        let script = debian::setup_dir().join("go.sh");
        run(&script, [group]).with_context(|| format!("{} {group}", script.display()))?;
    }
    Ok(path)
}

fn version(key: &str) -> Result<&'static str> {
    let line = VERSIONS.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    line.with_context(|| format!("versions.env has no {key}"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn versions_are_read_from_the_file_that_pins_them() {
        assert!(super::version("CRI_TOOLS_VERSION").unwrap().starts_with("v1."));
        assert!(super::version("NOTHING").is_err());
    }
}
