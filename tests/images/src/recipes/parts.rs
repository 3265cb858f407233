//! What several images have in common.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use tempfile::{Builder, tempdir};

use crate::debian;
use crate::layer::Layer;

/// The users of every image.
pub const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh
www-data:x:33:33:www-data:/var/www:/bin/sh
nobody:x:65534:65534:nobody:/:/bin/false
";
/// And their groups.
pub const GROUP: &str = "root:x:0:\nwww-data:x:33:\nstaff:x:50:www-data\nnogroup:x:65534:\n";

/// The files of root, www-data and nobody, with the usual directories, and no program.
pub fn rootfs() -> Layer {
    Layer::new()
        .file("etc/passwd", 0o644, PASSWD)
        .file("etc/group", 0o644, GROUP)
        .dir("root", 0o700)
        .dir("tmp", 0o1777)
        .dir("var/tmp", 0o1777)
        .dir("var/www", 0o755)
        .dir("run", 0o755)
        .symlink("var/run", "../run")
        .dir("home", 0o755)
}

/// The names of a busybox's applets.
pub fn applets(busybox: &[u8]) -> Result<Vec<String>> {
    let mut file = Builder::new().permissions(std::fs::Permissions::from_mode(0o700)).tempfile()?;
    file.write_all(busybox)?;
    // A program that is open for writing cannot be run.
    let path = file.into_temp_path();
    let output = Command::new(&path).arg0("busybox").arg("--list-full").output().context("run busybox --list-full")?;
    let list = String::from_utf8(output.stdout)?;
    let names: Vec<String> = list.lines().map(|path| path.rsplit('/').next().unwrap_or(path).to_owned()).collect();
    ensure!(names.len() > 200, "busybox lists {} applets only", names.len());
    Ok(names)
}

/// The shared libraries of packages, where the dynamic loader looks for them.
pub fn libraries(debs: &[impl AsRef<Path>]) -> Result<Layer> {
    let mut layer = Layer::new();
    for deb in debs {
        layer = layer.merge(debian::extract(deb.as_ref(), |path| {
            let path = path.strip_prefix("usr/").unwrap_or(path);
            let (dir, name) = path.rsplit_once('/')?;
            let wanted = matches!(dir, "lib/x86_64-linux-gnu" | "lib64") && name.contains(".so");
            wanted.then(|| path.to_owned())
        })?);
    }
    Ok(layer)
}

/// nginx without its libraries, its configuration and a page.
pub fn nginx(deb: &Path, conf: &str) -> Result<Layer> {
    Ok(debian::extract(deb, |path| (path == "usr/sbin/nginx").then(|| path.to_owned()))?
        .file("etc/nginx/nginx.conf", 0o644, conf)
        .file("usr/share/nginx/html/index.html", 0o644, "<h1>Welcome to nginx!</h1>\n"))
}

/// A static program from C source.
pub fn compile(source: &str) -> Result<Vec<u8>> {
    let dir = tempdir()?;
    let out = dir.path().join("program");
    let mut gcc = Command::new("gcc")
        .args(["-Os", "-static", "-s", "-Wall", "-Werror", "-x", "c", "-o"])
        .arg(&out)
        .arg("-")
        .stdin(Stdio::piped())
        .spawn()
        .context("run gcc (tests/setup/apt.sh build installs it)")?;
    // Taken, so that it is closed before gcc is waited for.
    gcc.stdin.take().context("gcc has no stdin")?.write_all(source.as_bytes())?;
    let status = gcc.wait()?;
    ensure!(status.success(), "gcc: {status}");
    Ok(std::fs::read(&out)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_source_makes_the_same_program() {
        let source = "int main(void) { return 0; }\n";
        assert_eq!(compile(source).unwrap(), compile(source).unwrap());
        assert!(compile("int main(void) { return nothing; }\n").is_err());
    }
}
