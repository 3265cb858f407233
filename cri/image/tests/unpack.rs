//! Layers that are hostile, or just special, through the confined child.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use std::fs::Metadata;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use cofferdam_image::{ImageError, ImageService, Limits};
use cofferdam_test_support::{eventually, needs};
use support::{Packed, Tar, files, image, open};
use tar::EntryType;

struct Ground {
    dir: tempfile::TempDir,
    service: ImageService,
}

impl Ground {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let service = open(dir.path());
        Ground { dir, service }
    }

    /// Unpacks layers, bottom first; the lower directories, top first.
    async fn load(&self, layers: Vec<Tar>) -> Result<Vec<PathBuf>, ImageError> {
        let layers: Vec<_> = layers.into_iter().map(|l| (l.bytes(), Packed::Gzip)).collect();
        let image = image(&layers);
        let path = self.dir.path().join("archive.tar");
        std::fs::write(&path, image.docker_archive("test:1")).unwrap();
        self.service.load(&path).await?;
        let container = image.id()[7..].to_owned();
        Ok(self.service.prepare_rootfs(&container, &image.id()).await?.lowerdirs)
    }

    async fn one(&self, layer: Tar) -> PathBuf {
        self.load(vec![layer]).await.unwrap().remove(0)
    }
}

fn meta(path: impl AsRef<Path>) -> Metadata {
    std::fs::symlink_metadata(path).unwrap()
}

#[needs(root)]
#[tokio::test(flavor = "multi_thread")]
async fn names_that_leave_the_root_are_refused_and_leave_nothing() {
    let ground = Ground::new();
    let victim = ground.dir.path().join("victim");
    std::fs::write(&victim, b"untouched").unwrap();
    for (layer, says) in [
        (Tar::new().file("../../../victim", 0o644, b"x"), "victim"),
        (Tar::new().file("a/../../victim", 0o644, b"x"), "victim"),
        (Tar::new().hard_link("h", "../../victim"), "victim"),
        (Tar::new().hard_link("h", "/etc/passwd"), "passwd"),
        (Tar::new().symlink("s", "/etc").hard_link("h", "s/passwd"), "passwd"),
        (Tar::new().file("f", 0o644, b"").file("f/below", 0o644, b"x"), "below"),
        (Tar::new().file("d/.wh...", 0o644, b""), "whiteout"),
        (Tar::new().entry(EntryType::new(b'Z'), "z", "", 0o644, b""), "type"),
        (Tar::new().pax(&[("path", b"d/".repeat(20_000).as_slice())]).dir("deep"), "4095"),
        (Tar::new().pax(&[("path", b"d".repeat(300).as_slice())]).dir("long"), "name"),
        (links_into_the_deep(), "4095"),
        (Tar::new().pax(&[("path", b"a/../../victim")]).file("f", 0o644, b"x"), "victim"),
        (
            Tar::new().pax(&[("GNU.sparse.map", b"5,1,0,1"), ("GNU.sparse.size", b"9")]).file("f", 0o644, b"xx"),
            "sparse",
        ),
    ] {
        let error = ground.load(vec![layer]).await.unwrap_err();
        assert!(matches!(&error, ImageError::Invalid(text) if text.contains(says)), "{error}");
    }
    assert_eq!(std::fs::read(&victim).unwrap(), b"untouched");
    assert!(files(ground.dir.path(), "layers").is_empty());
    assert!(ground.service.list().is_empty());
}

/// Each name is short; what it leads to is as long as a path may be.
fn links_into_the_deep() -> Tar {
    let below = "d/".repeat(2000);
    let first = Tar::new().pax(&[("path", below.as_bytes())]).dir("x").pax(&[("linkpath", below.as_bytes())]);
    first.symlink("link", "x").pax(&[("path", format!("link/{below}").as_bytes())]).dir("x")
}

#[needs(root)]
#[tokio::test(flavor = "multi_thread")]
async fn links_as_parents_are_followed_only_below_the_root() {
    let ground = Ground::new();
    let outside = ground.dir.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    let outside_name = outside.to_str().unwrap().to_owned();
    let root = ground
        .one(
            Tar::new()
                .symlink("abs", &outside_name)
                .file("abs/stolen", 0o644, b"x")
                .symlink("up", "../../../../../../../..")
                .file("up/top", 0o644, b"y")
                .symlink("lib", "usr/lib")
                .file("lib/libx", 0o644, b"z")
                .file("/rooted", 0o644, b"r"),
        )
        .await;
    assert!(std::fs::read_dir(&outside).unwrap().next().is_none());
    assert_eq!(std::fs::read(root.join(outside_name.trim_start_matches('/')).join("stolen")).unwrap(), b"x");
    assert_eq!(std::fs::read(root.join("top")).unwrap(), b"y");
    assert_eq!(std::fs::read(root.join("usr/lib/libx")).unwrap(), b"z");
    assert_eq!(std::fs::read(root.join("rooted")).unwrap(), b"r");
    // The link's text is the container's business.
    assert_eq!(std::fs::read_link(root.join("abs")).unwrap().to_str().unwrap(), outside_name);
}

#[needs(root)]
#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_is_overwritten_is_replaced_and_not_followed() {
    let ground = Ground::new();
    let victim = ground.dir.path().join("victim");
    std::fs::write(&victim, b"untouched").unwrap();
    let root = ground
        .one(
            Tar::new()
                .symlink("f", victim.to_str().unwrap())
                .file("f", 0o644, b"new")
                .file("real", 0o644, b"real")
                .symlink("g", "real")
                .file("g", 0o600, b"own")
                .dir("d/sub")
                .file("d/sub/x", 0o644, b"")
                .file("d", 0o644, b"a file now"),
        )
        .await;
    assert_eq!(std::fs::read(&victim).unwrap(), b"untouched");
    assert_eq!(std::fs::read(root.join("f")).unwrap(), b"new");
    assert_eq!(std::fs::read(root.join("real")).unwrap(), b"real");
    assert_eq!(std::fs::read(root.join("d")).unwrap(), b"a file now");
}

#[needs(root)]
#[tokio::test(flavor = "multi_thread")]
async fn owners_modes_times_links_and_attributes_are_kept() {
    let ground = Ground::new();
    // cap_net_bind_service in version 2, with a newline in it.
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0];
    let root = ground
        .one(
            Tar::new()
                .entry(EntryType::Directory, "./", "", 0o711, b"")
                .file("bin/su", 0o4755, b"s")
                .hard_link("bin/su2", "bin/su")
                .pax(&[
                    ("uid", b"3000000"),
                    ("mtime", b"1.25"),
                    ("SCHILY.xattr.security.capability", &capability),
                    ("SCHILY.xattr.user.mine", b"kept"),
                    ("SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
                    ("SCHILY.xattr.user.overlay.opaque", b"y"),
                ])
                .file("bin/cap", 0o755, b"c")
                .entry(EntryType::Fifo, "pipe", "", 0o622, b"")
                .dir("tmp"),
        )
        .await;
    let su = meta(root.join("bin/su"));
    assert_eq!((su.mode() & 0o7777, su.nlink(), su.mtime()), (0o4755, 2, 1_000_000_000));
    let cap = meta(root.join("bin/cap"));
    assert_eq!((cap.uid(), cap.mtime(), cap.mtime_nsec()), (3_000_000, 1, 250_000_000));
    let xattr = |name: &str| {
        let mut value = [0; 64];
        rustix::fs::lgetxattr(root.join("bin/cap"), name, &mut value).map(|n| value[..n].to_vec()).ok()
    };
    assert_eq!(xattr("security.capability").unwrap(), capability);
    assert_eq!(xattr("user.mine").unwrap(), b"kept");
    assert_eq!((xattr("trusted.overlay.redirect"), xattr("user.overlay.opaque")), (None, None));
    assert!(meta(root.join("pipe")).file_type().is_fifo());
    assert_eq!((meta(&root).mode() & 0o7777, meta(root.join("tmp")).mtime()), (0o711, 1_000_000_000));
    let implied = meta(root.join("bin"));
    assert_eq!((implied.uid(), implied.mode() & 0o7777), (0, 0o755));
}

#[needs(root)]
#[tokio::test(flavor = "multi_thread")]
async fn odd_entries_are_read_as_gos_reader_does() {
    let map = [("GNU.sparse.map", b"2,3,1048576,1".as_slice()), ("GNU.sparse.size", b"1048580")];
    let zeros = vec![0; 4 << 20];
    let ground = Ground::new();
    let root = ground
        .one(
            Tar::new()
                .file("dir/file/", 0o644, b"f")
                .hard_link("link", "/dir/../dir/./file")
                .pax(&map)
                .file("sparse", 0o644, b"abcd")
                .pax(&[("uid", b"4294967295"), ("gid", b"3000000000")])
                .file("nobodys", 0o6755, b"x")
                .file("zeros", 0o644, &zeros),
        )
        .await;
    assert_eq!(std::fs::read(root.join("link")).unwrap(), b"f");
    let sparse = std::fs::read(root.join("sparse")).unwrap();
    assert_eq!(
        (sparse.len(), &sparse[..6], &sparse[1_048_575..]),
        (1_048_580, b"\0\0abc\0".as_slice(), b"\0d\0\0\0".as_slice())
    );
    let nobodys = meta(root.join("nobodys"));
    assert_eq!((nobodys.uid(), nobodys.gid(), nobodys.mode() & 0o7777), (0, 0, 0o755));
    let zeros = meta(root.join("zeros"));
    assert_eq!((zeros.len(), zeros.blocks()), (4 << 20, 0));
}

#[needs(root)]
#[tokio::test(flavor = "multi_thread")]
async fn device_nodes_are_left_out() {
    let ground = Ground::new();
    let root = ground
        .one(
            Tar::new()
                .entry(EntryType::Char, "dev/tty", "", 0o666, b"1")
                .entry(EntryType::Block, "dev/sda", "", 0o666, b"1")
                .file("x", 0o644, b""),
        )
        .await;
    assert!(!root.join("dev/tty").exists() && !root.join("dev/sda").exists() && root.join("x").exists());
}

#[needs(root)]
#[tokio::test(flavor = "multi_thread")]
async fn limits_of_bytes_and_inodes_hold() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = support::config(dir.path());
    config.limits = Limits { bytes: 1 << 20, inodes: 20 };
    let ground = Ground { service: ImageService::open(config).unwrap(), dir };
    let many = (0..30).fold(Tar::new(), |tar, i| tar.file(&format!("f{i}"), 0o644, b""));
    for layer in [many, Tar::new().file("big", 0o644, &vec![0; 2 << 20])] {
        let error = ground.load(vec![layer]).await.unwrap_err();
        assert!(matches!(&error, ImageError::Exhausted(text) if text.contains("more than")), "{error}");
    }
    assert!(files(ground.dir.path(), "layers").is_empty());
}

/// The tree that an overlay of the layers shows, mounted in a mount namespace of this thread only.
fn overlay(lower: &[PathBuf], look: impl FnOnce(&Path) + Send + 'static, at: PathBuf) {
    use nix::mount::{MsFlags, mount};
    let lower: Vec<_> = lower.iter().map(|p| p.to_str().unwrap().to_owned()).collect();
    let thread = std::thread::spawn(move || {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
        let options = format!("lowerdir={}", lower.join(":"));
        mount(Some("overlay"), &at, Some("overlay"), MsFlags::MS_RDONLY, Some(options.as_str())).unwrap();
        look(&at);
    });
    thread.join().unwrap();
}

#[needs(root)]
#[tokio::test(flavor = "multi_thread")]
async fn an_overlay_of_the_layers_shows_the_image() {
    let ground = Ground::new();
    let lower = ground
        .load(vec![
            Tar::new()
                .file("gone", 0o644, b"1")
                .file("kept", 0o644, b"1")
                .dir("opaque")
                .file("opaque/old", 0o644, b"1")
                .dir("swap")
                .file("swap/old", 0o644, b"1")
                .dir("whole")
                .file("whole/x", 0o644, b"1"),
            Tar::new()
                .file(".wh.gone", 0o644, b"")
                .dir("opaque")
                .file("opaque/.wh..wh..opq", 0o644, b"")
                .file("opaque/new", 0o644, b"2")
                .file(".wh.swap", 0o644, b"")
                .dir("swap")
                .file("swap/new", 0o644, b"2")
                .file(".wh.whole", 0o644, b"")
                .file(".wh..wh.aufs", 0o644, b""),
            Tar::new().file("whole/again", 0o644, b"3").file("gone", 0o644, b"3"),
        ])
        .await
        .unwrap();
    let at = ground.dir.path().join("merged");
    std::fs::create_dir(&at).unwrap();
    let look = |root: &Path| {
        let names = |dir: &str| {
            let mut names: Vec<_> = std::fs::read_dir(root.join(dir))
                .unwrap()
                .map(|e| e.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        };
        assert_eq!(names(""), ["gone", "kept", "opaque", "swap", "whole"]);
        assert_eq!(
            (names("opaque"), names("swap"), names("whole")),
            (vec!["new".into()], vec!["new".into()], vec!["again".to_owned()])
        );
        assert_eq!(std::fs::read(root.join("gone")).unwrap(), b"3");
    };
    overlay(&lower, look, at);
}

#[needs(root)]
#[tokio::test(flavor = "multi_thread")]
async fn directories_without_an_entry_keep_what_lower_layers_say_of_them() {
    let ground = Ground::new();
    let lower = ground
        .load(vec![
            Tar::new()
                .entry(EntryType::Directory, "./", "", 0o711, b"")
                .entry(EntryType::Directory, "tmp", "", 0o1777, b"")
                .pax(&[("uid", b"1000"), ("gid", b"1000")])
                .entry(EntryType::Directory, "home/app", "", 0o750, b"")
                .entry(EntryType::Directory, "gone", "", 0o700, b"")
                .entry(EntryType::Directory, "hidden", "", 0o700, b"")
                .entry(EntryType::Directory, "told", "", 0o700, b""),
            Tar::new()
                .file("tmp/a", 0o644, b"a")
                .file("home/app/.config/f", 0o644, b"f")
                .file(".wh.gone", 0o644, b"")
                .file("gone/new", 0o644, b"")
                .file("hidden/.wh..wh..opq", 0o644, b"")
                .entry(EntryType::Directory, "told", "", 0o500, b""),
            Tar::new().file("home/app/g", 0o644, b"g").file("told/h", 0o644, b"h"),
        ])
        .await
        .unwrap();
    let at = ground.dir.path().join("merged");
    std::fs::create_dir(&at).unwrap();
    let look = |root: &Path| {
        let of = |name: &str| {
            let found = meta(root.join(name));
            (found.mode() & 0o7777, found.uid())
        };
        assert_eq!((of(""), of("tmp"), of("home/app")), ((0o711, 0), (0o1777, 0), (0o750, 1000)));
        assert_eq!((of("home"), of("home/app/.config"), of("gone")), ((0o755, 0), (0o755, 0), (0o755, 0)));
        assert_eq!((of("hidden"), of("told")), ((0o700, 0), (0o500, 0)));
        for file in ["tmp/a", "home/app/.config/f", "home/app/g", "told/h"] {
            assert!(root.join(file).exists(), "{file}");
        }
    };
    overlay(&lower, look, at);
}

#[needs(root)]
#[test]
fn the_child_sees_only_the_layer_and_may_only_own_and_mark_files() {
    use std::io::Write;
    let dir = tempfile::tempdir().unwrap();
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_cofferdam-unpack-helper"))
        .args(["1000000", "100"])
        .current_dir(dir.path())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let layer = Tar::new().file("first", 0o644, b"x").bytes();
    // More than a block is needed before anything is written.
    child.stdin.as_mut().unwrap().write_all(&[&layer[..1024], &vec![0; 300_000]].concat()).unwrap();
    let status = format!("/proc/{}/status", child.id());
    let line = |name: &str| {
        let text = std::fs::read_to_string(&status).unwrap();
        let line = text.lines().find_map(|l| l.strip_prefix(name)).unwrap_or_default();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    eventually("the child unpacks", || dir.path().join("first").exists()).unwrap();
    assert_eq!(line("Uid:"), "65534 65534 65534 65534");
    assert_eq!(line("NoNewPrivs:"), "1");
    // CHOWN, DAC_OVERRIDE, FOWNER, FSETID, SETFCAP.
    assert_eq!((line("CapPrm:").as_str(), line("CapEff:").as_str()), ("000000008000001b", "000000008000001b"));
    let root = format!("/proc/{}/root", child.id());
    let seen: Vec<_> = std::fs::read_dir(root).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(seen, ["first"]);
    let links = std::fs::read_to_string(format!("/proc/{}/net/dev", child.id())).unwrap();
    assert!(!links.contains("eth"), "{links}");
    let mounts = std::fs::read_to_string(format!("/proc/{}/mounts", child.id())).unwrap();
    assert_eq!(mounts.lines().count(), 1, "{mounts}");
    child.kill().unwrap();
    child.wait().unwrap();
}
