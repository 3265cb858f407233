//! Files out of Debian packages, which are downloaded once and never installed.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use crate::layer::Layer;

/// The directory of the set-up scripts.
pub fn setup_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../setup")
}

/// Downloads packages unless they are cached; their paths in the order of `names`. `src:NAME` is a source package's
/// `.dsc`.
pub fn packages(names: &[&str]) -> Result<Vec<PathBuf>> {
    let paths = setup("packages.sh", names)?;
    ensure!(paths.len() == names.len(), "packages.sh named {} files for {names:?}", paths.len());
    Ok(paths)
}

/// Runs a set-up script; the paths that it prints.
pub fn setup(script: &str, args: &[&str]) -> Result<Vec<PathBuf>> {
    let script = setup_dir().join(script);
    let output = Command::new(&script)
        .args(args)
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("run {}", script.display()))?;
    ensure!(output.status.success(), "{} {args:?}: {}", script.display(), output.status);
    Ok(String::from_utf8(output.stdout)?.lines().map(PathBuf::from).collect())
}

/// The files and links of a package that `take` renames to a path in the layer (without a leading slash).
pub fn extract(deb: &Path, take: impl Fn(&str) -> Option<String>) -> Result<Layer> {
    let mut child = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(deb)
        .stdout(Stdio::piped())
        .spawn()
        .context("run dpkg-deb")?;
    let Some(stdout) = child.stdout.take() else { bail!("dpkg-deb has no stdout") };
    let mut archive = tar::Archive::new(stdout);
    let mut layer = Layer::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.to_string_lossy().trim_start_matches("./").to_owned();
        let Some(name) = take(&path) else { continue };
        let mode = entry.header().mode()?;
        match entry.header().entry_type() {
            tar::EntryType::Regular => {
                let mut data = Vec::new();
                entry.read_to_end(&mut data)?;
                layer = layer.file(&name, mode, data);
            }
            tar::EntryType::Symlink => {
                let target = entry.link_name()?.context("a symlink with no target")?;
                layer = layer.symlink(&name, &target.to_string_lossy());
            }
            _ => {}
        }
    }
    let status = child.wait()?;
    ensure!(status.success(), "dpkg-deb {}: {status}", deb.display());
    Ok(layer)
}

/// One regular file of a package.
pub fn file(deb: &Path, wanted: &str) -> Result<Vec<u8>> {
    let output = Command::new("sh")
        .args(["-c", "dpkg-deb --fsys-tarfile \"$1\" | tar -xO \"./$2\"", "sh"])
        .arg(deb)
        .arg(wanted)
        .output()?;
    ensure!(output.status.success() && !output.stdout.is_empty(), "{} has no {wanted}", deb.display());
    Ok(output.stdout)
}
