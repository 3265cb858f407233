//! The directory while somebody changes it: at no moment, and after no restart, is less in force than was.

#![allow(clippy::unwrap_used)]

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cofferdam_netpolicy::{PolicySnapshot, PolicySource};
use cofferdam_netpolicy_watch::{DirectorySource, SourceConfig};

fn namespace(name: &str) -> String {
    format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, labels: {{cofferdam.dev/tenant: acme}}}}\n")
}

/// A directory that is followed, and the file that keeps its state.
struct Bed {
    root: tempfile::TempDir,
    source: DirectorySource,
}

impl Bed {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("cluster.d");
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("shop.yaml"), namespace("shop")).unwrap();
        let source = start(root.path());
        Bed { root, source }
    }

    fn dir(&self) -> PathBuf {
        self.root.path().join("cluster.d")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    fn restart(&mut self) {
        self.source = start(self.root.path());
    }

    async fn seen(&self) -> Arc<PolicySnapshot> {
        self.source.refresher().refresh().await;
        self.source.snapshots().borrow().clone()
    }

    /// What is in force now has this namespace, with its label.
    async fn has(&self, name: &str) -> bool {
        let seen = self.seen().await;
        assert_eq!(seen.facts.blocked, None);
        seen.facts.namespaces.get(name).is_some_and(|labels| labels.contains_key("cofferdam.dev/tenant"))
    }
}

fn start(root: &Path) -> DirectorySource {
    let kept = root.join("kept");
    DirectorySource::start(&root.join("cluster.d"), Some(&kept), SourceConfig::default()).unwrap()
}

#[tokio::test]
async fn a_file_that_is_rewritten_counts_as_before_until_it_is_closed() {
    let bed = Bed::new();
    for _ in 0..10 {
        let mut file = File::create(bed.file("shop.yaml")).unwrap();
        assert!(bed.has("shop").await, "truncated");
        file.write_all(b"# only a comment so far\n").unwrap();
        assert!(bed.has("shop").await, "half written");
        file.write_all(namespace("shop").as_bytes()).unwrap();
        file.write_all(format!("---\n{}", namespace("more")).as_bytes()).unwrap();
        assert!(!bed.has("more").await, "not closed yet");
        drop(file);
        assert!(bed.has("shop").await && bed.has("more").await, "closed");
        fs::write(bed.file("shop.yaml"), namespace("shop")).unwrap();
        assert!(!bed.has("more").await);
    }
}

#[tokio::test]
async fn an_emptied_file_is_the_first_half_of_a_rewrite() {
    let bed = Bed::new();
    File::create(bed.file("shop.yaml")).unwrap();
    assert!(bed.has("shop").await);
    assert!(bed.seen().await.facts.warnings[0].contains("shop.yaml"), "status names it");
}

#[tokio::test]
async fn a_namespace_in_a_new_file_is_not_known_before_the_file_is_whole() {
    let bed = Bed::new();
    let mut file = File::create(bed.file("new.yaml")).unwrap();
    let unread = |seen: &PolicySnapshot| seen.facts.unread.clone();
    assert!(unread(&*bed.seen().await).unwrap().soon, "made");
    file.write_all(&namespace("new").as_bytes()[..40]).unwrap();
    assert!(unread(&*bed.seen().await).unwrap().soon, "half written");
    file.write_all(&namespace("new").as_bytes()[40..]).unwrap();
    drop(file);
    assert!(bed.has("new").await && unread(&*bed.seen().await).is_none());
    fs::write(bed.file("broken.yaml"), "kind: [").unwrap();
    let seen = bed.seen().await;
    assert!(!unread(&seen).unwrap().soon && unread(&seen).unwrap().reason.contains("broken.yaml:1"));
}

#[tokio::test]
async fn links_and_files_that_came_whole_are_read_at_once() {
    let bed = Bed::new();
    fs::write(bed.root.path().join("one"), namespace("one")).unwrap();
    fs::hard_link(bed.root.path().join("one"), bed.file("one.yaml")).unwrap();
    fs::write(bed.root.path().join("two"), namespace("two")).unwrap();
    symlink(bed.root.path().join("two"), bed.file("two.yaml")).unwrap();
    fs::write(bed.root.path().join("three"), namespace("three")).unwrap();
    fs::rename(bed.root.path().join("three"), bed.file("three.yaml")).unwrap();
    for name in ["one", "two", "three"] {
        assert!(bed.has(name).await, "{name}");
    }
    File::create(bed.file("empty.yaml")).unwrap();
    assert_eq!(bed.seen().await.facts.unread, None);
    // What came of a directory by a link that points elsewhere now is what is there now.
    fs::write(bed.root.path().join("four"), namespace("four")).unwrap();
    symlink(bed.root.path().join("four"), bed.file(".next")).unwrap();
    fs::rename(bed.file(".next"), bed.file("two.yaml")).unwrap();
    assert!(bed.has("four").await && !bed.has("two").await);
}

#[tokio::test]
async fn a_directory_that_is_moved_away_counts_as_it_was_even_for_the_next_daemon() {
    let mut bed = Bed::new();
    let away = bed.root.path().join("away");
    fs::rename(bed.dir(), &away).unwrap();
    assert!(bed.has("shop").await);
    assert!(bed.seen().await.facts.warnings[0].contains("cluster.d"), "status names it");
    bed.restart();
    assert!(bed.has("shop").await, "after a restart");
    fs::write(away.join("more.yaml"), namespace("more")).unwrap();
    fs::rename(&away, bed.dir()).unwrap();
    assert!(bed.has("shop").await && bed.has("more").await);
    // The new one is followed, not the old.
    fs::write(bed.file("even-more.yaml"), namespace("even-more")).unwrap();
    let mut seen = bed.source.snapshots();
    seen.wait_for(|s| s.facts.namespaces.contains_key("even-more")).await.unwrap();
    assert_eq!(bed.seen().await.facts.warnings, Vec::<String>::new());
}

#[tokio::test]
async fn one_broken_new_file_and_a_restart_change_nothing() {
    let mut bed = Bed::new();
    fs::write(bed.file("new.yaml"), "kind: [").unwrap();
    assert!(bed.has("shop").await);
    bed.restart();
    assert!(bed.has("shop").await, "after a restart");
    fs::write(bed.file("shop.yaml"), "kind: [").unwrap();
    bed.restart();
    assert!(bed.has("shop").await, "a file that broke while no daemon ran");
    let kept = fs::metadata(bed.root.path().join("kept")).unwrap();
    assert_eq!(kept.permissions().mode() & 0o777, 0o600);
    // What was removed while no daemon ran is gone, once what is broken is mended.
    fs::remove_file(bed.file("new.yaml")).unwrap();
    fs::remove_file(bed.file("shop.yaml")).unwrap();
    bed.restart();
    assert!(!bed.has("shop").await);
}

#[tokio::test]
async fn kept_objects_that_cannot_be_read_any_more_are_no_good_state() {
    let mut bed = Bed::new();
    assert!(bed.has("shop").await);
    // What a release kept whose next one refuses a field of it: neither the kept text nor the file can be read.
    let kept = bed.root.path().join("kept");
    let text = fs::read_to_string(&kept).unwrap().replace("kind: Namespace", "kind: [");
    fs::write(&kept, &text).unwrap();
    fs::write(bed.file("shop.yaml"), "kind: [").unwrap();
    for _ in 0..2 {
        bed.restart();
        assert!(bed.seen().await.facts.blocked.is_some(), "nothing is in force, and that must not count as good");
        assert_eq!(fs::read_to_string(&kept).unwrap(), text, "nothing worse is kept");
    }
    fs::write(bed.file("shop.yaml"), namespace("shop")).unwrap();
    assert!(bed.has("shop").await, "mended");
}

#[tokio::test]
async fn a_file_that_an_editor_replaces_is_never_missed() {
    let bed = Bed::new();
    fs::rename(bed.file("shop.yaml"), bed.file("shop.yaml~")).unwrap();
    assert!(bed.has("shop").await, "the old one is renamed, the new one not there yet");
    let mut file = OpenOptions::new().write(true).create_new(true).open(bed.file("shop.yaml")).unwrap();
    assert!(bed.has("shop").await, "the new one is made");
    file.write_all(namespace("shop").as_bytes()).unwrap();
    drop(file);
    assert!(bed.has("shop").await);
    fs::remove_file(bed.file("shop.yaml")).unwrap();
    let mut seen = bed.source.snapshots();
    seen.wait_for(|s| s.facts.namespaces.is_empty()).await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_renamed_during_loads_is_always_in_force() {
    let bed = Bed::new();
    let (ended, [a, b]) = (Arc::new(AtomicBool::new(false)), ["shop.yaml", "a.yaml"].map(|name| bed.file(name)));
    let renames = std::thread::spawn({
        let ended = ended.clone();
        move || {
            while !ended.load(Ordering::Relaxed) {
                fs::rename(&a, &b).unwrap();
                fs::rename(&b, &a).unwrap();
            }
        }
    });
    for round in 0..200 {
        assert!(bed.has("shop").await, "round {round}");
    }
    ended.store(true, Ordering::Relaxed);
    renames.join().unwrap();
}

#[tokio::test]
async fn the_file_that_was_first_keeps_an_object_that_another_one_claims() {
    let bed = Bed::new();
    fs::write(bed.file("a.yaml"), "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n").unwrap();
    assert!(bed.has("shop").await);
    assert!(bed.seen().await.facts.warnings[0].contains("already in shop.yaml"));
    // Moved to another name it is the same.
    fs::remove_file(bed.file("a.yaml")).unwrap();
    fs::rename(bed.file("shop.yaml"), bed.file("z.yaml")).unwrap();
    assert!(bed.has("shop").await);
    assert_eq!(bed.seen().await.facts.warnings, Vec::<String>::new());
}

#[tokio::test]
async fn pods_claim_addresses_of_pods_only() {
    let pod = |ip: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: p}}\nspec: {{}}\n\
             status: {{podIPs: [{{ip: '{ip}'}}, {{ip: 10.9.0.4}}]}}\n"
        )
    };
    let root = tempfile::tempdir().unwrap();
    let known = |cidrs: &[&str]| SourceConfig {
        pod_cidrs: cidrs.iter().map(|c| c.parse().unwrap()).collect(),
        node_cidrs: vec!["10.1.0.0/16".parse().unwrap()],
        service_cidrs: vec!["10.96.0.0/12".parse().unwrap()],
        api_servers: vec!["10.9.0.9:6443".parse().unwrap()],
        ..SourceConfig::default()
    };
    let (private, cluster) = (known(&[]), known(&["10.9.0.0/16"]));
    for (ip, config, taken) in [
        ("10.9.0.5", &private, true),
        ("10.8.0.5", &private, true),
        ("10.8.0.5", &cluster, false),
        ("10.9.0.5", &cluster, true),
        ("10.1.0.7", &private, false),
        ("10.100.0.1", &private, false),
        ("10.9.0.9", &cluster, false),
        ("203.0.113.1", &private, false),
        ("169.254.169.254", &private, false),
        ("127.0.0.1", &private, false),
        ("fe80::1", &private, false),
        ("fd00::1", &private, true),
    ] {
        fs::write(root.path().join("p.yaml"), pod(ip)).unwrap();
        let source = DirectorySource::start(root.path(), None, config.clone()).unwrap();
        let seen = source.snapshots().borrow().clone();
        let has = seen.facts.pods[0].addresses.contains(&ip.parse().unwrap());
        assert_eq!((has, seen.facts.warnings.is_empty()), (taken, taken), "{ip} {:?}", seen.facts.warnings);
        assert!(seen.facts.pods[0].addresses.contains(&"10.9.0.4".parse().unwrap()), "the others stay");
        assert_eq!(seen.facts.unread, None);
    }
}
