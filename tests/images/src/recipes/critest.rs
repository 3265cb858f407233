//! Stand-ins for the images that critest pulls from registry.k8s.io, gcr.io and k8s.gcr.io, under the same names. What
//! its specs look at is the same; nothing comes from those registries.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::debian;
use crate::image::{Image, ImageSpec};
use crate::layer::Layer;
use crate::recipes::{parts, upstream};
use crate::set::{ImageSet, Named};

/// The images of critest 1.37.
pub const SET: ImageSet = ImageSet { name: "critest", version: 1, inputs, recipes: images };

/// The repository of the image that critest pulls by digest.
pub const DIGEST_REPOSITORY: &str = "k8s-staging-cri-tools/test-image-digest";

const LIBC: &str = "libc6";
const HTTPD: &[&str] =
    &["apache2-bin", LIBC, "libcrypt1", "libpcre2-8-0", "libapr1", "libaprutil1", "libexpat1", "libuuid1"];

fn inputs() -> Result<Vec<PathBuf>> {
    let mut inputs = debian::setup("busybox.sh", &[])?;
    inputs.extend(debian::packages(&upstream::NGINX)?);
    inputs.extend(debian::packages(HTTPD)?);
    Ok(inputs)
}

fn images(inputs: &[PathBuf]) -> Result<Vec<Named>> {
    let (busybox, packages) = inputs.split_first().context("no busybox")?;
    let (nginx, httpd) = packages.split_at(upstream::NGINX.len());
    let base = upstream::root(&fs::read(busybox)?)?;
    let libraries = parts::libraries(&nginx[1..])?;
    let nginx = |conf: &str| upstream::nginx_image(&base, &libraries, &nginx[0], conf);
    let mut named = vec![
        Named::one("e2e-test-images/busybox", "1.29-2", upstream::busybox_image(&base).build()?),
        Named::one("e2e-test-images/nginx", "1.14-2", nginx(upstream::NGINX_CONF)?),
        Named::one("e2e-test-images/httpd", "2.4.39-4", httpd_image(&base, httpd)?),
        Named::one("e2e-test-images/nonewprivs", "1.3", upstream::no_new_privileges_image()?),
        Named::one("k8s-staging-cri-tools/hostnet-nginx-amd64", "latest", nginx(HOSTNET_NGINX_CONF)?),
        Named::one("pause", "3.9", upstream::pause_image()?),
    ];
    named.extend(files(&base)?);
    named.extend(users(&base)?);
    Ok(named)
}

/// Images that differ in one file, and names of one image.
fn files(base: &Layer) -> Result<Vec<Named>> {
    let image = |name: &str| -> Result<Image> {
        upstream::busybox_image(base).layer(Layer::new().file(name, 0o644, format!("{name}\n"))).build()
    };
    let tags = image("test-image-tags")?;
    Ok(vec![
        Named::one("k8s-staging-cri-tools/test-image-1", "latest", image("test-image-1")?),
        Named::one("k8s-staging-cri-tools/test-image-2", "latest", image("test-image-2")?),
        Named::one("k8s-staging-cri-tools/test-image-3", "latest", image("test-image-3")?),
        Named::one("k8s-staging-cri-tools/test-image-latest", "latest", image("test-image-latest")?),
        Named::one(DIGEST_REPOSITORY, "latest", image("test-image-digest")?),
        Named::one("k8s-staging-cri-tools/test-image-tag", "test", image("test-image-tag-test")?),
        Named::one("k8s-staging-cri-tools/test-image-tag", "all", image("test-image-tag-all")?),
        Named::one("k8s-staging-cri-tools/test-image-tags", "1", tags.clone()),
        Named::one("k8s-staging-cri-tools/test-image-tags", "2", tags.clone()),
        Named::one("k8s-staging-cri-tools/test-image-tags", "3", tags),
    ])
}

/// Images with a user. A group of a user that only the image knows is in the files of the last one.
fn users(base: &Layer) -> Result<Vec<Named>> {
    let image = |user: &str| upstream::busybox_image(base).set("User", json!(user)).build();
    let predefined = Layer::new()
        .file(
            "etc/passwd",
            0o644,
            "root:x:0:0:root:/root:/bin/sh\ndefault-user:x:1000:1000::/home/default-user:/bin/sh\n",
        )
        .file("etc/group", 0o644, "root:x:0:\ndefault-user:x:1000:\ngroup-defined-in-image:x:50000:default-user\n");
    let predefined = upstream::busybox_image(base).layer(predefined).set("User", json!("1000")).build()?;
    Ok(vec![
        Named::one("k8s-staging-cri-tools/test-image-user-uid", "latest", image("1002")?),
        Named::one("k8s-staging-cri-tools/test-image-user-username", "latest", image("www-data")?),
        Named::one("k8s-staging-cri-tools/test-image-user-uid-group", "latest", image("1003:1004")?),
        Named::one("k8s-staging-cri-tools/test-image-user-username-group", "latest", image("www-data:1004")?),
        Named::one("k8s-staging-cri-tools/test-image-predefined-group", "latest", predefined),
    ])
}

/// For a pod in the host's network: on a port of its own.
const HOSTNET_NGINX_CONF: &str = "user www-data;
worker_processes 1;
pid /var/run/nginx.pid;
error_log /dev/stderr;
events { worker_connections 256; }
http {
    access_log /dev/stdout;
    default_type text/html;
    server { listen 12003; root /usr/share/nginx/html; }
}
";

/// The name of the program is in its log, which is what the spec looks for.
const HTTPD_CONF: &str = "ServerName localhost
ServerRoot /usr/lib/apache2
PidFile /run/httpd.pid
LoadModule mpm_event_module modules/mod_mpm_event.so
LoadModule authz_core_module modules/mod_authz_core.so
LoadModule dir_module modules/mod_dir.so
User www-data
Group www-data
Listen 80
ErrorLog /dev/stderr
CustomLog /dev/stdout \"httpd %h %t \\\"%r\\\" %>s\"
DocumentRoot /var/www
DirectoryIndex index.html
";

const HTTPD_MODULES: [&str; 3] = [
    "usr/lib/apache2/modules/mod_mpm_event.so",
    "usr/lib/apache2/modules/mod_authz_core.so",
    "usr/lib/apache2/modules/mod_dir.so",
];

fn httpd_image(base: &Layer, debs: &[PathBuf]) -> Result<Image> {
    let (deb, libraries) = debs.split_first().context("no apache2")?;
    let layer = debian::extract(deb, |path| match path {
        "usr/sbin/apache2" => Some("usr/sbin/httpd".to_owned()),
        path => HTTPD_MODULES.contains(&path).then(|| path.to_owned()),
    })?
    .file("etc/httpd.conf", 0o644, HTTPD_CONF)
    .file("var/www/index.html", 0o644, "<html><body><h1>It works!</h1></body></html>\n");
    ImageSpec::new()
        .layer(base.clone())
        .layer(parts::libraries(libraries)?)
        .layer(layer)
        .set("Cmd", json!(["/usr/sbin/httpd", "-f", "/etc/httpd.conf", "-D", "FOREGROUND"]))
        .set("StopSignal", json!("SIGWINCH"))
        .build()
}
