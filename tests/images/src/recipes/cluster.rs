//! Stand-ins for the images of upstream's end-to-end tests and of the cluster itself, under the names that they have in
//! registry.k8s.io. agnhost and CoreDNS are built from upstream's sources, all else comes from Debian.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use crate::debian;
use crate::image::{Image, ImageSpec};
use crate::layer::Layer;
use crate::recipes::{parts, upstream};
use crate::set::{ImageSet, Named};

/// The images of `tests/cluster`.
pub const SET: ImageSet = ImageSet { name: "cluster", version: 1, inputs, recipes: images };

/// curl and everything that it loads.
const CURL: [&str; 29] = [
    "curl",
    "libc6",
    "libbrotli1",
    "libcom-err2",
    "libcurl4",
    "libffi8",
    "libgcc-s1",
    "libgmp10",
    "libgnutls30",
    "libgssapi-krb5-2",
    "libhogweed6",
    "libidn2-0",
    "libk5crypto3",
    "libkeyutils1",
    "libkrb5-3",
    "libkrb5support0",
    "libldap-2.5-0",
    "libnettle8",
    "libnghttp2-14",
    "libp11-kit0",
    "libpsl5",
    "librtmp1",
    "libsasl2-2",
    "libssh2-1",
    "libssl3",
    "libtasn1-6",
    "libunistring2",
    "libzstd1",
    "zlib1g",
];
const BASH: [&str; 2] = ["bash", "libtinfo6"];
const HOSTNAME: [&str; 2] = ["hostname", "libc6"];

fn inputs() -> Result<Vec<PathBuf>> {
    let mut inputs = debian::setup("busybox.sh", &[])?;
    inputs.extend(debian::setup("go.sh", &["agnhost", "coredns"])?);
    for packages in [&upstream::NGINX[..], &CURL, &BASH, &HOSTNAME] {
        inputs.extend(debian::packages(packages)?);
    }
    Ok(inputs)
}

fn images(inputs: &[PathBuf]) -> Result<Vec<Named>> {
    let [busybox, agnhost, certificate, key, coredns, packages @ ..] = inputs else { anyhow::bail!("too few inputs") };
    let expected = upstream::NGINX.len() + CURL.len() + BASH.len() + HOSTNAME.len();
    ensure!(packages.len() == expected, "{} packages", packages.len());
    let (nginx, packages) = packages.split_at(upstream::NGINX.len());
    let (curl, packages) = packages.split_at(CURL.len());
    let (bash, hostname) = packages.split_at(BASH.len());
    let base = upstream::root(&fs::read(busybox)?)?;
    let busybox = upstream::busybox_image(&base).build()?;
    let agnhost = agnhost_image(&base, [curl, bash], [agnhost, certificate, key])?;
    let nginx = upstream::nginx_image(&base, &parts::libraries(&nginx[1..])?, &nginx[0], upstream::NGINX_CONF)?;
    let non_root = upstream::busybox_image(&base).set("User", json!("1234")).build()?;
    let coredns = ImageSpec::new().layer(Layer::new().file("coredns", 0o755, fs::read(coredns)?));
    Ok(vec![
        Named::one("coredns/coredns", "test", coredns.set("Entrypoint", json!(["/coredns"])).build()?),
        Named::one("e2e-test-images/agnhost", "2.66.1", agnhost.clone()),
        Named::one("e2e-test-images/agnhost", "2.55", agnhost),
        Named::one("e2e-test-images/busybox", "1.37.0-2", busybox.clone()),
        Named::one("e2e-test-images/busybox", "1.36.1-1", busybox.clone()),
        Named::one("e2e-test-images/ipc-utils", "1.4", busybox),
        Named::one("e2e-test-images/nginx", "1.27.0-2", nginx.clone()),
        Named::one("e2e-test-images/nginx", "1.28.0-2", nginx),
        Named::one("e2e-test-images/nonewprivs", "1.4", upstream::no_new_privileges_image()?),
        Named::one("e2e-test-images/nonroot", "1.5", non_root),
        Named::one("e2e-test-images/glibc-dns-testing", "2.1.1", glibc_image(&base, hostname)?),
        Named::one("pause", "3.10.2", upstream::pause_image()?),
    ])
}

/// agnhost with the programs and the user that the tests look for beside it.
fn agnhost_image(base: &Layer, programs: [&[PathBuf]; 2], files: [&PathBuf; 3]) -> Result<Image> {
    let mut layer = Layer::new();
    let mut libraries = Layer::new();
    for debs in programs {
        let (program, loaded) = debs.split_first().context("no program")?;
        let take = |path: &str| matches!(path, "usr/bin/curl" | "bin/bash").then(|| path.to_owned());
        layer = layer.merge(debian::extract(program, take)?);
        libraries = libraries.merge(parts::libraries(loaded)?);
    }
    let [agnhost, certificate, key] = files;
    let layer = layer
        .file("agnhost", 0o755, fs::read(agnhost)?)
        .file("localhost.crt", 0o644, fs::read(certificate)?)
        .file("localhost.key", 0o644, fs::read(key)?)
        .symlink("agnhost-2", "agnhost")
        .dir("uploads", 0o755)
        .file(
            "etc/passwd",
            0o644,
            format!("{}user-defined-in-image:x:1000:1000::/home/user-defined-in-image:/bin/sh\n", parts::PASSWD),
        )
        .file(
            "etc/group",
            0o644,
            format!(
                "{}user-defined-in-image:x:1000:\ngroup-defined-in-image:x:50000:user-defined-in-image\n",
                parts::GROUP
            ),
        );
    ImageSpec::new()
        .layer(base.clone())
        .layer(libraries)
        .layer(layer)
        .set("Entrypoint", json!(["/agnhost"]))
        .set("Cmd", json!(["pause"]))
        .build()
}

/// A name is looked up by glibc, as in most images: `hostname -f` is Debian's.
fn glibc_image(base: &Layer, hostname: &[PathBuf]) -> Result<Image> {
    let (hostname, libraries) = hostname.split_first().context("no hostname")?;
    // In front of busybox's, which lies in /bin.
    let layer =
        debian::extract(hostname, |path| (path == "bin/hostname").then(|| "usr/local/bin/hostname".to_owned()))?;
    upstream::busybox_image(base).layer(parts::libraries(libraries)?).layer(layer).build()
}
