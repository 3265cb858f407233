//! What a caller was told is there after the process is gone.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use cofferdam_cri_api::v1 as cri;
use cofferdam_sandbox::{NamespaceMode, PodNamespaces, ProcessIdentity, SandboxKind, SandboxRecord, SandboxSpec};
use cofferdam_store::{Disk, File, Rows, SandboxEntry, SandboxPhase, Store, StoreError};

fn entry(id: &str) -> SandboxEntry {
    let namespaces = PodNamespaces {
        network: NamespaceMode::Pod,
        pid: NamespaceMode::Container,
        ipc: NamespaceMode::Pod,
        user: None,
    };
    let spec = SandboxSpec {
        id: id.into(),
        namespace: "blue".into(),
        name: "web".into(),
        uid: "u".into(),
        tenant: "blue".into(),
        kind: SandboxKind::Namespace,
        hostname: "web".into(),
        dir: "/run/x".into(),
        cgroup: "/pods/x".into(),
        shim_cgroup: "/shims".into(),
        namespaces,
        sysctls: Default::default(),
        shm_size: 1,
        resolv_conf: String::new(),
        vm: None,
        init_seccomp: vec![],
    };
    let config = cri::PodSandboxConfig { log_directory: "/logs".into(), ..Default::default() };
    SandboxEntry::new(spec, config.into(), String::new(), "b".into(), 1)
}

fn record() -> SandboxRecord {
    let shim = ProcessIdentity { pid: 1, start_time: 1, boot_id: "b".into() };
    SandboxRecord { shim, vmm: None, virtiofsd: None, netns: None }
}

#[tokio::test]
async fn what_was_written_is_read_by_the_next_daemon() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.redb");
    {
        let store = Store::open(&path).unwrap();
        store.sandboxes.put(entry("a")).await.unwrap();
        store.sandboxes.put(entry("b")).await.unwrap();
        assert_eq!(store.sandboxes.update("a", |s| s.become_ready(record())).await.unwrap(), Some(true));
        store.sandboxes.remove("b").await.unwrap();
    }
    let store = wait_open(&path);
    let found = store.sandboxes.list();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].phase(), found[0].config.log_directory.as_str()), (SandboxPhase::Ready, "/logs"));
    assert_eq!(found[0].record(), Some(&record()));
}

#[tokio::test]
async fn changes_at_once_are_applied_one_after_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(&dir.path().join("state.redb")).unwrap());
    store.sandboxes.put(entry("a")).await.unwrap();
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.sandboxes.update("a", |s| s.attempt += 1).await.unwrap() })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(store.sandboxes.get("a").unwrap().attempt, 50);
}

#[tokio::test]
async fn an_update_of_nothing_finds_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("state.redb")).unwrap();
    assert!(store.sandboxes.update("a", |s| s.attempt = 1).await.unwrap().is_none());
    store.sandboxes.remove("a").await.unwrap();
}

#[test]
fn a_second_daemon_on_the_same_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.redb");
    let _first = Store::open(&path).unwrap();
    let Err(error) = Store::open(&path) else { panic!("two daemons share one state") };
    assert!(error.to_string().contains("state.redb"), "{error}");
}

/// The writer of a dropped store closes the file after its last commit.
fn wait_open(path: &std::path::Path) -> Store {
    let mut opened = None;
    cofferdam_test_support::eventually("the store is free again", || {
        opened = Store::open(path).ok();
        opened.is_some()
    })
    .unwrap();
    opened.unwrap()
}

/// A disk that is full for a while.
struct Full {
    file: File,
    full: Arc<AtomicBool>,
}

impl Disk for Full {
    fn load(&self, table: &'static str) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.file.load(table)
    }

    fn commit(&mut self, rows: &Rows) -> Result<(), StoreError> {
        match self.full.load(Relaxed) {
            true => Err(StoreError::Write("no space left".into())),
            false => self.file.commit(rows),
        }
    }
}

#[tokio::test]
async fn on_a_full_disk_ends_are_published_and_written_once_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.redb");
    let full = Arc::new(AtomicBool::new(false));
    let disk = Full { file: File::open(&path).unwrap(), full: full.clone() };
    {
        let store = Store::open_on(Box::new(disk)).unwrap();
        store.sandboxes.put(entry("a")).await.unwrap();
        store.sandboxes.update("a", |s| s.become_ready(record())).await.unwrap();
        full.store(true, Relaxed);
        assert!(store.sandboxes.put(entry("b")).await.is_err());
        assert!(store.sandboxes.get("b").is_none(), "what is not durable was published");
        assert_eq!(store.sandboxes.update_always("a", |s| s.end("died".into())).await.unwrap(), Some(true));
        assert_eq!(store.sandboxes.get("a").unwrap().reason(), "died");
        full.store(false, Relaxed);
    }
    let store = wait_open(&path);
    assert_eq!(store.sandboxes.list().iter().map(|s| s.reason()).collect::<Vec<_>>(), ["died"]);
}

#[tokio::test]
async fn nobody_but_the_owner_reads_the_records() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.redb");
    let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    drop(File::open(&path).unwrap());
    assert_eq!(mode(), 0o600);
    // As a release before this one left it.
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    drop(File::open(&path).unwrap());
    assert_eq!(mode(), 0o600);
}

/// Has one record that an older daemon, or a fault, left unreadable.
struct Damaged(Vec<u8>);

impl Disk for Damaged {
    fn load(&self, table: &'static str) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let rows = vec![("bad".to_owned(), b"{\"phase\":".to_vec()), ("good".to_owned(), self.0.clone())];
        Ok(if table == "sandboxes" { rows } else { Vec::new() })
    }

    fn commit(&mut self, _: &Rows) -> Result<(), StoreError> {
        Ok(())
    }
}

#[test]
fn a_record_that_cannot_be_read_does_not_keep_the_others_from_being_served() {
    let store = Store::open_on(Box::new(Damaged(serde_json::to_vec(&entry("good")).unwrap()))).unwrap();
    let ids: Vec<String> = store.sandboxes.list().iter().map(|s| s.spec.id.clone()).collect();
    assert_eq!(ids, ["good"]);
}
