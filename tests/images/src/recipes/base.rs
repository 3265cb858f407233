//! What the images of the project's own tests are made of.
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

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::json;

use crate::debian;
use crate::image::{Flavor, ImageSpec};
use crate::layer::{Compression, Layer};
use crate::recipes::parts;
use crate::set::{ImageSet, Named};

/// The images that the project's own tests and benchmarks use.
pub const SET: ImageSet =
    ImageSet { name: "base", version: 3, inputs: || debian::packages(&PACKAGES), recipes: images };

const PACKAGES: [&str; 7] = ["busybox-static", "nginx", "libc6", "libcrypt1", "libpcre2-8-0", "libssl3", "zlib1g"];

/// `debs` are the files of [`PACKAGES`].
fn images(debs: &[PathBuf]) -> Result<Vec<Named>> {
    let (busybox, nginx) = (debs[0].as_path(), debs[1].as_path());
    let base = base(&debian::file(busybox, "bin/busybox")?)?;
    let libraries = parts::libraries(&debs[2..])?;
    let one = |name, spec: ImageSpec| -> Result<Named> { Ok(Named::one(name, "latest", spec.build()?)) };
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
    let mut layer = parts::rootfs().file("bin/busybox", 0o755, busybox);
    for applet in parts::applets(busybox)? {
        if applet != "busybox" {
            layer = layer.symlink(&format!("bin/{applet}"), "busybox");
        }
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
    let layer = parts::nginx(deb, NGINX_CONF)?.dir("var/log/nginx", 0o755).dir("var/lib/nginx", 0o755);
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
