//! What the root file system looks like when layers are odd.

use anyhow::{Context as _, Result};
use cofferdam_peer::images::{Entry, Packed, RawTar, from_layers, lower, programs};
use cofferdam_peer::registry::{Store, name};
use cofferdam_peer::{Family, Running, Side, container, describe, normalise, pod, run_family, wanted};
use cofferdam_test_images::layer::Layer;
use serde_json::{Value, json};
use tar::EntryType;

use crate::PROBE;

/// A name, and the layers on top of one with the probe.
type Odd = (&'static str, Vec<Vec<u8>>);

#[test]
#[ignore = "takes containerd and runc from Go modules: make peer"]
fn odd_layers_give_the_same_files() -> Result<()> {
    let below = lower(&programs(PROBE)?)?;
    let mut store = Store::default();
    let mut names = Vec::new();
    for (case, tars) in odd_layers()?.into_iter().filter(|(case, _)| wanted(case)) {
        let odd: Vec<Packed> = tars.into_iter().map(Packed::new).collect::<Result<_>>()?;
        store = store.image(case, &from_layers(&[below.as_slice(), &odd].concat())?);
        names.push(case);
    }
    let list = include_str!("../../differences/rootfs.txt");
    run_family(&Family { name: "rootfs", list }, store, async |side, seen| {
        let mut running = Running::start(side, pod("rootfs")).await?.context("RunPodSandbox")?;
        for case in &names {
            seen.insert((*case).to_owned(), files(side, &mut running, case).await.context(*case)?);
        }
        running.remove().await
    })
}

/// What pulling the image came to, and what is below `/odd` in a container of it.
async fn files(side: &Side, running: &mut Running<'_>, case: &str) -> Result<Value> {
    let image = name(case);
    if let Err(failure) = side.call("PullImage", json!({"image": {"image": image}})).await? {
        return Ok(json!({"PullImage": describe(&failure)}));
    }
    let container = container(case, &image, &["tree", "/odd", "/etc/passwd", "/outside", "/tmp"]);
    let id = match running.create(container.clone()).await? {
        Ok(id) => id,
        Err(failure) => return Ok(json!({"CreateContainer": describe(&failure)})),
    };
    if let Err(failure) = running.start_container(&id).await? {
        return Ok(json!({"StartContainer": describe(&failure)}));
    }
    let seen = running.says(&container, &id).await?;
    Ok(normalise(&seen, &running.known))
}

fn odd_layers() -> Result<Vec<Odd>> {
    let mut all = whiteouts()?;
    all.extend(links());
    all.extend(names());
    all.extend(kinds());
    all.extend(pax());
    Ok(all)
}

/// What lies below, for layers that remove some of it.
fn below() -> Result<Vec<u8>> {
    let layer = Layer::new().file("odd/a", 0o644, "a").file("odd/dir/b", 0o644, "b").file("odd/dir/c", 0o600, "c");
    layer.file("odd/deep/er/d", 0o644, "d").symlink("odd/link", "dir").tar()
}

fn whiteouts() -> Result<Vec<Odd>> {
    let on = |tar: RawTar| anyhow::Ok(vec![below()?, tar.finish()]);
    let new = RawTar::new;
    Ok(vec![
        ("whiteout", on(new().entry(&Entry::file("odd/.wh.a", b"")))?),
        ("whiteout-of-a-directory", on(new().entry(&Entry::file("odd/.wh.dir", b"")))?),
        ("whiteout-of-nothing", on(new().entry(&Entry::file("odd/.wh.none", b"")))?),
        ("whiteout-without-name", on(new().entry(&Entry::file("odd/.wh.", b"")))?),
        ("whiteout-of-dots", on(new().entry(&Entry::file("odd/dir/.wh...", b"")))?),
        ("whiteout-then-file", on(new().entry(&Entry::file("odd/.wh.a", b"")).entry(&Entry::file("odd/a", b"new")))?),
        ("file-then-whiteout", on(new().entry(&Entry::file("odd/a", b"new")).entry(&Entry::file("odd/.wh.a", b"")))?),
        ("whiteout-with-content", on(new().entry(&Entry::file("odd/.wh.a", b"content")))?),
        ("whiteout-directory", on(new().entry(&Entry::dir("odd/.wh.a/")))?),
        ("opaque", on(new().entry(&Entry::dir("odd/dir/")).entry(&Entry::file("odd/dir/.wh..wh..opq", b"")))?),
        (
            "opaque-after-files",
            on(new().entry(&Entry::file("odd/dir/new", b"n")).entry(&Entry::file("odd/dir/.wh..wh..opq", b"")))?,
        ),
        ("opaque-without-directory", on(new().entry(&Entry::file("odd/new/.wh..wh..opq", b"")))?),
        ("opaque-root", on(new().entry(&Entry::file("odd/.wh..wh..opq", b"")).entry(&Entry::file("odd/z", b"z")))?),
        ("aufs-files", on(new().entry(&Entry::file(".wh..wh.aufs", b"")).entry(&Entry::dir(".wh..wh.plnk/")))?),
        ("whiteout-below-a-link", on(new().entry(&Entry::file("odd/link/.wh.b", b"")))?),
        (
            "whiteout-of-a-parent",
            on(new().entry(&Entry::file("odd/.wh.deep", b"")).entry(&Entry::file("odd/deep/er/new", b"n")))?,
        ),
        ("directory-becomes-file", on(new().entry(&Entry::file("odd/dir", b"file")))?),
        ("file-becomes-directory", on(new().entry(&Entry::dir("odd/a/")).entry(&Entry::file("odd/a/b", b"b")))?),
        (
            "link-becomes-directory",
            on(new().entry(&Entry::dir("odd/link/")).entry(&Entry::file("odd/link/new", b"n")))?,
        ),
        ("device-0-0", on(new().entry(&Entry { kind: EntryType::Char, mode: 0o600, ..Entry::file("odd/a", b"") }))?),
    ])
}

fn links() -> Vec<Odd> {
    let one = |tar: RawTar| vec![tar.finish()];
    let new = RawTar::new;
    let hard = |name, target| Entry::link(EntryType::Link, name, target);
    let soft = |name, target| Entry::link(EntryType::Symlink, name, target);
    let below = new().entry(&Entry::file("odd/a", b"a")).finish();
    vec![
        ("hard-link", one(new().entry(&Entry::file("odd/a", b"a")).entry(&hard("odd/b", "odd/a")))),
        ("hard-link-absolute", one(new().entry(&Entry::file("odd/a", b"a")).entry(&hard("odd/b", "/odd/a")))),
        ("hard-link-with-dots", one(new().entry(&Entry::file("odd/a", b"a")).entry(&hard("odd/b", "./odd/../odd/a")))),
        ("hard-link-before-its-target", one(new().entry(&hard("odd/b", "odd/a")).entry(&Entry::file("odd/a", b"a")))),
        ("hard-link-to-a-lower-layer", vec![below, new().entry(&hard("odd/b", "odd/a")).finish()]),
        ("hard-link-outside", one(new().entry(&hard("odd/b", "../../../../etc/hostname")))),
        ("hard-link-to-a-link", one(new().entry(&soft("odd/a", "target")).entry(&hard("odd/b", "odd/a")))),
        ("hard-link-to-a-directory", one(new().entry(&Entry::dir("odd/a/")).entry(&hard("odd/b", "odd/a")))),
        ("hard-link-to-itself", one(new().entry(&Entry::file("odd/a", b"a")).entry(&hard("odd/a", "odd/a")))),
        ("hard-link-with-another-mode", {
            let other = Entry { mode: 0o600, owner: (5, 6), ..hard("odd/b", "odd/a") };
            one(new().entry(&Entry::file("odd/a", b"a")).entry(&other))
        }),
        ("link-absolute", one(new().entry(&soft("odd/a", "/etc/passwd")).entry(&soft("odd/b", "/none")))),
        ("link-upwards", one(new().entry(&soft("odd/a", "../../../../../tmp")).entry(&Entry::file("odd/a/new", b"n")))),
        ("link-as-a-parent", {
            let through = Entry::file("odd/link/new", b"n");
            one(new().entry(&Entry::dir("odd/real/")).entry(&soft("odd/link", "real")).entry(&through))
        }),
        (
            "link-as-an-absolute-parent",
            one(new().entry(&soft("odd/link", "/outside")).entry(&Entry::file("odd/link/new", b"n"))),
        ),
        (
            "link-loop",
            one(new().entry(&soft("odd/a", "b")).entry(&soft("odd/b", "a")).entry(&Entry::file("odd/a/c", b"c"))),
        ),
        ("link-with-a-mode-and-owner", one(new().entry(&Entry { mode: 0o600, owner: (7, 8), ..soft("odd/a", "b") }))),
        ("link-to-nothing-replaced", one(new().entry(&soft("odd/a", "none")).entry(&Entry::file("odd/a", b"file")))),
    ]
}

fn names() -> Vec<Odd> {
    let one = |tar: RawTar| vec![tar.finish()];
    let new = RawTar::new;
    let deep = format!("odd/{}end", "d/".repeat(40));
    let longest = format!("odd/{}", "n".repeat(255));
    let too_long = format!("odd/{}", "n".repeat(256));
    let very_deep = format!("odd/{}end", "directory/".repeat(380));
    let long = |path: &str| one(new().pax(&[("path", path.as_bytes())]).entry(&Entry::file("short", b"x")));
    vec![
        ("absolute-name", one(new().entry(&Entry::file("/odd/a", b"a")))),
        ("name-with-dot", one(new().entry(&Entry::dir("./")).entry(&Entry::file("./odd/./a", b"a")))),
        ("name-upwards", one(new().entry(&Entry::file("../outside", b"x")).entry(&Entry::file("odd/a", b"a")))),
        ("name-upwards-inside", one(new().entry(&Entry::dir("odd/b/")).entry(&Entry::file("odd/b/../a", b"a")))),
        ("name-with-two-slashes", one(new().entry(&Entry::file("odd//a", b"a")))),
        ("file-with-a-slash-behind", one(new().entry(&Entry::file("odd/a/", b"a")))),
        ("directory-without-a-slash", one(new().entry(&Entry::dir("odd/a")))),
        ("empty-name", one(new().entry(&Entry::file("", b"x")).entry(&Entry::file("odd/a", b"a")))),
        ("odd-letters", one(new().entry(&Entry::file("odd/a b\u{fc}\t*?'\"\\", b"a")))),
        ("bytes-not-utf8", long_bytes(b"odd/a\xff\xfe")),
        ("forty-deep", one(new().entry(&Entry::file(&deep, b"x")))),
        ("longest-name", long(&longest)),
        ("too-long-name", long(&too_long)),
        ("very-deep-name", long(&very_deep)),
        ("without-parents", one(new().entry(&Entry { owner: (5, 6), ..Entry::file("odd/x/y/z", b"z") }))),
        ("parents-after-children", {
            let parent = Entry { mode: 0o700, owner: (5, 6), ..Entry::dir("odd/x/") };
            one(new().entry(&Entry::file("odd/x/y", b"y")).entry(&parent))
        }),
        ("entries-twice", {
            let again = Entry { mode: 0o600, ..Entry::file("odd/a", b"second") };
            one(new().entry(&Entry::file("odd/a", b"first")).entry(&again))
        }),
        ("directory-twice", {
            let again = Entry { mode: 0o711, owner: (5, 6), ..Entry::dir("odd/a/") };
            one(new().entry(&Entry::dir("odd/a/")).entry(&Entry::file("odd/a/b", b"b")).entry(&again))
        }),
        ("root-with-a-mode", one(new().entry(&Entry { mode: 0o711, ..Entry::dir("./") }).entry(&Entry::dir("odd/")))),
        ("odd-is-not-there", one(new())),
    ]
}

fn long_bytes(path: &[u8]) -> Vec<Vec<u8>> {
    vec![RawTar::new().pax(&[("path", path)]).entry(&Entry::file("short", b"x")).finish()]
}

fn kinds() -> Vec<Odd> {
    let one = |tar: RawTar| vec![tar.finish()];
    let new = RawTar::new;
    let of = |kind, name| Entry { kind, ..Entry::file(name, b"") };
    vec![
        ("modes", {
            let modes =
                [("odd/0", 0), ("odd/4755", 0o4755), ("odd/2755", 0o2755), ("odd/1777", 0o1777), ("odd/7777", 0o7777)];
            one(modes
                .iter()
                .fold(new(), |tar, (name, mode)| tar.entry(&Entry { mode: *mode, ..Entry::file(name, b"") })))
        }),
        (
            "setuid-of-a-user",
            one(new().entry(&Entry { mode: 0o6755, owner: (1002, 1003), ..Entry::file("odd/a", b"x") })),
        ),
        ("setgid-directory", {
            let dir = Entry { mode: 0o2775, owner: (0, 33), ..Entry::dir("odd/a/") };
            one(new().entry(&dir).entry(&Entry::file("odd/a/b", b"")).entry(&Entry::dir("odd/a/c/")))
        }),
        ("owners", one(new().entry(&Entry { owner: (65534, 65534), ..Entry::file("odd/a", b"") }))),
        ("large-owner", one(new().entry(&Entry { owner: (2_000_000, 2_000_000), ..Entry::file("odd/a", b"") }))),
        ("devices", {
            let null = Entry { device: (1, 3), mode: 0o666, ..of(EntryType::Char, "odd/null") };
            let block = Entry { device: (7, 0), mode: 0o600, ..of(EntryType::Block, "odd/loop") };
            one(new().entry(&null).entry(&block))
        }),
        ("fifo", one(new().entry(&of(EntryType::Fifo, "odd/fifo")))),
        ("contiguous-file", one(new().entry(&Entry { kind: EntryType::Continuous, ..Entry::file("odd/a", b"a") }))),
        ("old-regular-file", one(new().entry(&Entry { kind: EntryType::new(0), ..Entry::file("odd/a", b"a") }))),
        ("unknown-kind", one(new().entry(&of(EntryType::new(b'Z'), "odd/a")).entry(&Entry::file("odd/b", b"b")))),
        (
            "truncated",
            vec![{
                let mut tar = new().entry(&Entry::file("odd/a", &[b'x'; 5000])).finish();
                tar.truncate(2000);
                tar
            }],
        ),
        (
            "without-an-end",
            vec![{
                let mut tar = new().entry(&Entry::file("odd/a", b"a")).finish();
                tar.truncate(1024);
                tar
            }],
        ),
        (
            "garbage-behind-the-end",
            vec![{
                let mut tar = new().entry(&Entry::file("odd/a", b"a")).finish();
                tar.extend_from_slice(&[b'g'; 1000]);
                tar
            }],
        ),
        (
            "wrong-checksum",
            vec![{
                let mut tar = new().entry(&Entry::file("odd/a", b"a")).finish();
                tar[100] ^= 1;
                tar
            }],
        ),
    ]
}

fn pax() -> Vec<Odd> {
    let new = RawTar::new;
    let with = |records: &[(&str, &[u8])]| vec![new().pax(records).entry(&Entry::file("odd/a", b"content")).finish()];
    let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    vec![
        ("pax-times", with(&[("mtime", b"1234567890.123456789"), ("atime", b"5"), ("ctime", b"6")])),
        ("pax-negative-time", with(&[("mtime", b"-5.5")])),
        ("pax-owner", with(&[("uid", b"100000"), ("gid", b"200000"), ("uname", b"worker"), ("gname", b"worker")])),
        (
            "pax-path-and-link",
            vec![
                new()
                    .pax(&[("path", b"odd/real-name"), ("linkpath", b"real-target")])
                    .entry(&Entry::link(EntryType::Symlink, "odd/a", "b"))
                    .finish(),
            ],
        ),
        ("pax-size", with(&[("size", b"3")])),
        ("pax-user-attribute", with(&[("SCHILY.xattr.user.colour", b"blue")])),
        ("pax-capability", with(&[("SCHILY.xattr.security.capability", &capability)])),
        ("pax-trusted-attribute", with(&[("SCHILY.xattr.trusted.overlay.opaque", b"y")])),
        ("pax-selinux-attribute", with(&[("SCHILY.xattr.security.selinux", b"system_u:object_r:etc_t:s0\0")])),
        ("pax-libarchive-attribute", with(&[("LIBARCHIVE.xattr.user.colour", b"Ymx1ZQ")])),
        ("pax-unknown-attribute", with(&[("SCHILY.xattr.none.such", b"x")])),
        ("pax-unknown-record", with(&[("comment", b"hello"), ("VENDOR.thing", b"x")])),
        (
            "pax-bad-record",
            vec![{
                let bad = Entry { kind: EntryType::XHeader, ..Entry::file("PaxHeaders/next", b"99 path=x\n") };
                new().entry(&bad).entry(&Entry::file("odd/a", b"a")).finish()
            }],
        ),
        (
            "pax-global",
            vec![{
                let global = Entry {
                    kind: EntryType::XGlobalHeader,
                    ..Entry::file("pax_global_header", b"20 comment=0123456\n\n")
                };
                new().entry(&global).entry(&Entry::file("odd/a", b"a")).finish()
            }],
        ),
        (
            "pax-sparse",
            vec![{
                let map = "1\n1048576\n3\n";
                let mut data = map.as_bytes().to_vec();
                data.resize(512, 0);
                data.extend_from_slice(b"end");
                new()
                    .pax(&[
                        ("GNU.sparse.major", b"1"),
                        ("GNU.sparse.minor", b"0"),
                        ("GNU.sparse.name", b"odd/sparse"),
                        ("GNU.sparse.realsize", b"1048579"),
                    ])
                    .entry(&Entry::file("GNUSparseFile.0/sparse", &data))
                    .finish()
            }],
        ),
        ("zeroes", vec![new().entry(&Entry::file("odd/zeroes", &vec![0; 1 << 20])).finish()]),
    ]
}
