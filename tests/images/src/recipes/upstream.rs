//! What the images of upstream's suites have in common: stand-ins with the same content where a test looks at it.

use std::path::Path;

use anyhow::Result;
use serde_json::json;

use crate::image::{Image, ImageSpec};
use crate::layer::Layer;
use crate::recipes::parts;

/// nginx and its libraries.
pub const NGINX: [&str; 6] = ["nginx", "libc6", "libcrypt1", "libpcre2-8-0", "libssl3", "zlib1g"];

/// One server, on port 80.
pub const NGINX_CONF: &str = "user www-data;
worker_processes 1;
pid /var/run/nginx.pid;
error_log /dev/stderr;
events { worker_connections 256; }
http {
    access_log /dev/stdout;
    default_type text/html;
    server { listen 80; root /usr/share/nginx/html; }
}
";

/// A root file system in which each applet is a hard link to one file, as in the image busybox. The first name has
/// the content, since a link comes after what it leads to.
pub fn root(busybox: &[u8]) -> Result<Layer> {
    let mut names = parts::applets(busybox)?;
    names.push("busybox".to_owned());
    names.sort();
    names.dedup();
    let first = format!("bin/{}", names[0]);
    let layer = parts::rootfs().file(&first, 0o755, busybox);
    Ok(names[1..].iter().fold(layer, |layer, name| layer.hardlink(&format!("bin/{name}"), &first)))
}

/// A shell by default, and nothing on top of the root file system.
pub fn busybox_image(base: &Layer) -> ImageSpec {
    ImageSpec::new().layer(base.clone()).set("Cmd", json!(["sh"]))
}

/// nginx under a configuration; `libraries` are those of [`NGINX`] behind the first, `deb` is the first.
pub fn nginx_image(base: &Layer, libraries: &Layer, deb: &Path, conf: &str) -> Result<Image> {
    let layer = parts::nginx(deb, conf)?.dir("var/log/nginx", 0o755).dir("var/lib/nginx", 0o755);
    ImageSpec::new()
        .layer(base.clone())
        .layer(libraries.clone())
        .layer(layer)
        .set("Cmd", json!(["nginx", "-g", "daemon off;"]))
        .set("StopSignal", json!("SIGQUIT"))
        .build()
}

const PAUSE: &str = "#include <signal.h>
#include <unistd.h>
static void end(int number) { (void)number; _exit(0); }
int main(void) {
    signal(SIGTERM, end);
    signal(SIGINT, end);
    for (;;) pause();
}
";

/// Waits for a signal.
pub fn pause_image() -> Result<Image> {
    let layer = Layer::new().file("pause", 0o755, parts::compile(PAUSE)?);
    ImageSpec::new().layer(layer).set("Entrypoint", json!(["/pause"])).build()
}

const EFFECTIVE_UID: &str = "#include <stdio.h>
#include <unistd.h>
int main(void) {
    printf(\"Effective uid: %d\\n\", (int)geteuid());
    return 0;
}
";

/// One program that is set-user-ID root and says as whom it runs.
pub fn no_new_privileges_image() -> Result<Image> {
    let layer = parts::rootfs().file("nnp", 0o4755, parts::compile(EFFECTIVE_UID)?);
    ImageSpec::new().layer(layer).set("Entrypoint", json!(["/nnp"])).build()
}
