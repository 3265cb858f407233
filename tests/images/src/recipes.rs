//! What the test images are made of.
//!
//! | name | what it shows |
//! |---|---|
//! | `test/busybox:latest` | a shell and the usual applets; default command `sh` |
//! | `test/nginx:latest` | dynamic libraries, port 80, logs through /dev/stdout, stop signal SIGQUIT; three layers |
//! | `test/web:latest` | a page on ports 80 and 8080, `/cgi-bin/peer` says who asks; Docker media types |
//! | `test/layers:latest` | whiteouts, an opaque directory, replaced and linked files, a plain tar layer, USER 1002, WORKDIR |
//! | `test/user:latest` | USER www-data and an entrypoint |
//! | `test/pause:latest` | does nothing for ever; for runtimes that want one (containerd, to compare with) |
//! | `test/index:latest` | an index of amd64 and a foreign architecture |

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use crate::debian;
use crate::image::{Flavor, Image, ImageSpec};
use crate::layer::{Compression, Layer};

/// Bump when a recipe or the compressor changes: it is part of the cache's key.
pub const VERSION: u32 = 3;

/// The packages all recipes need together.
pub const PACKAGES: [&str; 7] = ["busybox-static", "nginx", "libc6", "libcrypt1", "libpcre2-8-0", "libssl3", "zlib1g"];

/// A named image, or an index when there are several.
#[derive(Clone, Debug)]
pub struct Named {
    /// `test/busybox`.
    pub name: &'static str,
    /// `latest`.
    pub tag: &'static str,
    /// One image, or those of an index.
    pub images: Vec<Image>,
}

/// Every test image. `debs` are the files of [`PACKAGES`].
pub fn all(debs: &[impl AsRef<Path>]) -> Result<Vec<Named>> {
    let (busybox, nginx) = (debs[0].as_ref(), debs[1].as_ref());
    let base = base(&debian::file(busybox, "bin/busybox")?)?;
    let libraries = libraries(&debs[2..])?;
    let one =
        |name, spec: ImageSpec| -> Result<Named> { Ok(Named { name, tag: "latest", images: vec![spec.build()?] }) };
    Ok(vec![
        one("test/busybox", busybox_image(&base))?,
        one("test/nginx", nginx_image(&base, libraries, nginx)?)?,
        one("test/pause", busybox_image(&base).set("Cmd", json!(["/bin/sleep", "2147483647"])))?,
        one("test/web", web_image(&base))?,
        one("test/layers", layers_image(&base))?,
        one(
            "test/user",
            ImageSpec::new().layer(base.clone()).set("User", json!("www-data")).set("Entrypoint", json!(["/bin/id"])),
        )?,
        Named {
            name: "test/index",
            tag: "latest",
            images: vec![
                ImageSpec::new()
                    .layer(Layer::new().file("foreign", 0o644, "not for this machine"))
                    .architecture("s390x")
                    .build()?,
                busybox_image(&base).set("Labels", json!({"chosen": "amd64"})).build()?,
            ],
        },
    ])
}

fn busybox_image(base: &Layer) -> ImageSpec {
    ImageSpec::new().layer(base.clone()).set("Cmd", json!(["sh"]))
}

/// A root file system with busybox as everything.
fn base(busybox: &[u8]) -> Result<Layer> {
    let mut layer = Layer::new()
        .file("bin/busybox", 0o755, busybox)
        .file("etc/passwd", 0o644, "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33:www-data:/var/www:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")
        .file("etc/group", 0o644, "root:x:0:\nwww-data:x:33:\nstaff:x:50:www-data\nnogroup:x:65534:\n")
        .dir("root", 0o700)
        .dir("tmp", 0o1777)
        .dir("var/tmp", 0o1777)
        .dir("var/www", 0o755)
        .dir("run", 0o755)
        .symlink("var/run", "../run")
        .dir("home", 0o755);
    for applet in applets(busybox)? {
        if applet != "bin/busybox" {
            let name = applet.rsplit('/').next().unwrap_or(&applet);
            layer = layer.symlink(&format!("bin/{name}"), "busybox");
        }
    }
    Ok(layer)
}

fn applets(busybox: &[u8]) -> Result<Vec<String>> {
    let path = std::env::temp_dir().join(format!("cofferdam-busybox-{}", std::process::id()));
    let mut file = std::fs::File::create(&path)?;
    file.write_all(busybox)?;
    file.set_permissions(std::fs::Permissions::from_mode(0o700))?;
    drop(file);
    let output = Command::new(&path).arg0("busybox").arg("--list-full").output().context("run busybox --list-full");
    std::fs::remove_file(&path)?;
    let list: Vec<String> = String::from_utf8(output?.stdout)?.lines().map(str::to_owned).collect();
    ensure!(list.len() > 200, "busybox lists {} applets only", list.len());
    Ok(list)
}

/// The shared libraries of packages, where the dynamic loader looks for them.
fn libraries(debs: &[impl AsRef<Path>]) -> Result<Layer> {
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

const NGINX_CONF: &str = "user www-data;
worker_processes 1;
pid /var/run/nginx.pid;
error_log /dev/stderr;
events { worker_connections 256; }
http {
    access_log /dev/stdout;
    default_type text/html;
    server { listen 80; listen [::]:80; root /usr/share/nginx/html; }
}
";

fn nginx_image(base: &Layer, libraries: Layer, deb: &Path) -> Result<ImageSpec> {
    let layer = debian::extract(deb, |path| (path == "usr/sbin/nginx").then(|| path.to_owned()))?
        .file("etc/nginx/nginx.conf", 0o644, NGINX_CONF)
        .file("usr/share/nginx/html/index.html", 0o644, "<h1>Welcome to nginx!</h1>\n")
        .dir("var/log/nginx", 0o755)
        .dir("var/lib/nginx", 0o755);
    Ok(ImageSpec::new()
        .layer(base.clone())
        .layer(libraries)
        .layer(layer)
        .set("Cmd", json!(["nginx", "-g", "daemon off;"]))
        .set("ExposedPorts", json!({"80/tcp": {}}))
        .set("StopSignal", json!("SIGQUIT")))
}

/// httpd has no handler for SIGTERM and PID 1 gets no default one: the shell waits and ends at once.
const SERVE: &str = "trap 'exit 0' TERM INT; httpd -f -p 80 -h /www & httpd -f -p 8080 -h /www & wait";

fn web_image(base: &Layer) -> ImageSpec {
    let layer = Layer::new()
        .file("www/index.html", 0o644, "cofferdam test page\n")
        .file("www/healthz", 0o644, "ok\n")
        .file(
            "www/cgi-bin/peer",
            0o755,
            "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\n%s\\n' \"$REMOTE_ADDR\"\n",
        )
        .file(
            "www/cgi-bin/host",
            0o755,
            "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\n'; hostname; uname -r\n",
        );
    ImageSpec::new()
        .layer(base.clone())
        .layer(layer)
        .set("Cmd", json!(["/bin/sh", "-c", SERVE]))
        .set("ExposedPorts", json!({"80/tcp": {}, "8080/tcp": {}}))
        .flavor(Flavor::Docker)
}

fn layers_image(base: &Layer) -> ImageSpec {
    let second = Layer::new()
        .file("data/keep", 0o644, "first")
        .file("data/gone", 0o644, "to be removed")
        .file("data/hidden/old", 0o644, "to be hidden")
        .file("data/replaced", 0o644, "old")
        .file("data/tree/a/b", 0o644, "to be removed with its directory");
    let third = Layer::new()
        .whiteout("data/gone")
        .whiteout("data/tree")
        .opaque("data/hidden")
        .file("data/hidden/new", 0o644, "new")
        .file("data/replaced", 0o640, "new")
        .hardlink("data/replaced-link", "data/replaced")
        .symlink("data/symlink", "keep")
        .file("data/setuid", 0o4755, "#!/bin/sh\n")
        .file("data/mine", 0o600, "of 1002")
        .owner("data/mine", 1002, 1002)
        .dir("work", 0o755)
        .owner("work", 1002, 1002);
    ImageSpec::new()
        .layer(base.clone())
        .layer(second)
        .layer_as(third, Compression::None)
        .set("User", json!("1002"))
        .set("WorkingDir", json!("/work"))
        .set("Cmd", json!(["sh", "-c", "id -u; pwd; find /data | sort"]))
}
