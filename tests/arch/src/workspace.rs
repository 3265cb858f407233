//! The workspace as cargo sees it: its crates, what they depend on, their sources.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// The workspace's directory: that of the run, since several working trees may share one build directory.
pub fn root() -> PathBuf {
    let dir = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let dir = PathBuf::from(dir);
    dir.ancestors().nth(2).map_or(dir.clone(), Path::to_owned)
}

/// Why a crate depends on another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What is shipped.
    Normal,
    /// Tests.
    Dev,
    /// Build scripts.
    Build,
}

/// A crate of the workspace and the others of it that it depends on, each by its folder.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its folder, such as `cri/server`.
    pub folder: String,
    /// Its name.
    pub name: String,
    /// Folder and reason.
    pub depends_on: Vec<(String, Kind)>,
    /// The files that its library and its programs begin with, from the workspace's directory.
    pub targets: Vec<PathBuf>,
}

/// All crates, as `cargo metadata` tells them.
pub fn members() -> Result<Vec<Member>> {
    let text = cargo(&["metadata", "--format-version", "1", "--no-deps", "--offline", "--locked"])?;
    let metadata: Value = serde_json::from_str(&text)?;
    let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
    packages.iter().map(member).collect()
}

fn member(package: &Value) -> Result<Member> {
    let manifest = package["manifest_path"].as_str().context("a package without a manifest")?;
    let dependencies = package["dependencies"].as_array().context("a package without dependencies")?;
    let ours = dependencies.iter().filter_map(|d| Some((d["path"].as_str()?, kind(&d["kind"]))));
    let depends_on = ours.map(|(path, kind)| Ok((folder(Path::new(path))?, kind))).collect::<Result<_>>()?;
    Ok(Member {
        folder: folder(Path::new(manifest).parent().context("a manifest without a folder")?)?,
        name: package["name"].as_str().unwrap_or_default().to_owned(),
        depends_on,
        targets: targets(package)?,
    })
}

/// Tests, benchmarks and build scripts are no part of what is shipped.
fn targets(package: &Value) -> Result<Vec<PathBuf>> {
    let shipped = |target: &&Value| target["kind"][0].as_str().is_some_and(|kind| matches!(kind, "lib" | "bin"));
    let targets = package["targets"].as_array().context("a package without targets")?;
    let paths = targets.iter().filter(shipped).filter_map(|target| target["src_path"].as_str());
    paths.map(|path| Ok(Path::new(path).strip_prefix(root())?.to_owned())).collect()
}

fn kind(value: &Value) -> Kind {
    match value.as_str() {
        Some("dev") => Kind::Dev,
        Some("build") => Kind::Build,
        _ => Kind::Normal,
    }
}

fn folder(path: &Path) -> Result<String> {
    let below = path.strip_prefix(root()).with_context(|| format!("{} is not below the workspace", path.display()))?;
    Ok(below.display().to_string())
}

/// Names of all crates that one crate is built with, build scripts and macros left out, with no other crate's features.
pub fn built_with(name: &str) -> Result<Vec<String>> {
    let target = "x86_64-unknown-linux-musl";
    let mut args = vec!["tree", "--offline", "--locked", "--prefix", "none", "--format", "{p}"];
    args.extend(["--target", target, "--edges", "normal,no-proc-macro", "--package", name]);
    Ok(cargo(&args)?.lines().filter_map(|line| Some(line.split(' ').next()?.to_owned())).collect())
}

/// Every Rust file of the workspace.
pub fn sources() -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for member in members()? {
        collect(&root().join(member.folder), &mut found)?;
    }
    found.sort();
    ensure!(found.len() > 100, "only {} source files: the search is broken", found.len());
    Ok(found)
}

fn collect(dir: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(())
}

fn cargo(args: &[&str]) -> Result<String> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(program).args(args).current_dir(root()).output().context("run cargo")?;
    ensure!(output.status.success(), "cargo {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}
