//! What a caller was told is there after the process is gone.

use cofferdam_sandbox::{NamespaceMode, PodNamespaces, SandboxKind, SandboxSpec};
use cofferdam_store::{SandboxEntry, SandboxPhase, Store};

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
    SandboxEntry {
        spec,
        config: vec![0, 255],
        runtime_handler: String::new(),
        attempt: 0,
        phase: SandboxPhase::Creating,
        reason: String::new(),
        created_at: 1,
        lease: None,
        record: None,
        boot_id: "b".into(),
        released: false,
    }
}

#[tokio::test]
async fn what_was_written_is_read_by_the_next_daemon() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.redb");
    {
        let store = Store::open(&path).unwrap();
        store.sandboxes.put(entry("a")).await.unwrap();
        store.sandboxes.put(entry("b")).await.unwrap();
        store.sandboxes.update("a", |s| s.phase = SandboxPhase::Ready).await.unwrap().unwrap();
        store.sandboxes.remove("b").await.unwrap();
    }
    let store = wait_open(&path);
    let found = store.sandboxes.list();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].phase, found[0].config.clone()), (SandboxPhase::Ready, vec![0, 255]));
}

#[tokio::test]
async fn changes_at_once_are_applied_one_after_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let store = std::sync::Arc::new(Store::open(&dir.path().join("state.redb")).unwrap());
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
    for _ in 0..100 {
        if let Ok(store) = Store::open(path) {
            return store;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("the store stays in use");
}
