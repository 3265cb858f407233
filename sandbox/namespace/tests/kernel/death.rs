//! Deaths: of the shim, of the daemon, of a pod's init; starts that fail or are cut off.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use cofferdam_namespace::NamespaceFactory;
use cofferdam_pod_client::Launcher;
use cofferdam_sandbox::{ContainerState, NamespaceMode, Recovered, SandboxFactory, SandboxSpec};

use cofferdam_test_support::{cgroup_dirs, eventually, needs, process_exists, signal, wait_gone};
use rustix::process::Signal;

use crate::bed::{Bed, exit_of, gone, shims};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

#[needs(root)]
#[tokio::test]
async fn a_killed_shim_takes_its_containers_along_and_its_records_stay() {
    let node = Bed::new();
    let mut spec = node.spec();
    spec.namespaces.pid = NamespaceMode::Pod;
    let factory = node.factory();
    let sandbox = factory.create(&spec).await.unwrap();
    let mut events = sandbox.pod().events();
    let (ended, _) = node.run(&*sandbox, "exit 9").await;
    exit_of(&mut events, &ended).await;
    let (_, running) = node.run(&*sandbox, "sleep 1000").await;
    signal(sandbox.record().shim.pid, Signal::KILL).unwrap();
    assert!(gone(&mut events).await.contains("signal 9"));
    wait_gone(running).unwrap();
    sandbox.stop().await.unwrap();
    let Recovered::Dead { exits, .. } = factory.recover(&spec, Some(&sandbox.record())).await.unwrap() else {
        panic!()
    };
    assert_eq!(exits.iter().map(|exit| (&*exit.container, exit.code)).collect::<Vec<_>>(), [(&*ended, 9)]);
    assert!(sandbox.start(None).await.is_err(), "it is gone");
    factory.remove_leftovers(&spec, Some(&sandbox.record())).await.unwrap();
    node.assert_clean(&spec);
}

#[needs(root)]
#[test]
fn a_shim_killed_while_no_daemon_runs_is_found_dead() {
    let node = Bed::new();
    let spec = node.spec();
    let (record, running) = runtime().block_on(async {
        let sandbox = node.factory().create(&spec).await.unwrap();
        let (_, pid) = node.run(&*sandbox, "sleep 1000").await;
        (sandbox.record(), pid)
    });
    signal(record.shim.pid, Signal::KILL).unwrap();
    wait_gone(record.shim.pid).unwrap();
    runtime().block_on(async {
        let factory = node.factory();
        let Recovered::Dead { exits, .. } = factory.recover(&spec, Some(&record)).await.unwrap() else { panic!() };
        assert!(exits.is_empty() && !process_exists(running));
        factory.remove_leftovers(&spec, Some(&record)).await.unwrap();
    });
    node.assert_clean(&spec);
}

#[needs(root)]
#[test]
fn the_next_daemon_adopts_a_sandbox_with_the_exits_it_has_missed() {
    let node = Bed::new();
    let spec = node.spec();
    let (record, ends, ends_pid, stays) = runtime().block_on(async {
        let sandbox = node.factory().create(&spec).await.unwrap();
        let (ends, ends_pid) = node.run(&*sandbox, "sleep 0.3; echo late; exit 5").await;
        let (stays, _) = node.run(&*sandbox, "seq 1 3; sleep 1000").await;
        (sandbox.record(), ends, ends_pid, stays)
    });
    // The runtime is gone, and with it every connection and task: as after SIGKILL.
    eventually("a log line without a daemon", || {
        fs::read_to_string(node.log(&ends)).is_ok_and(|log| log.contains("stdout F late"))
    })
    .unwrap();
    wait_gone(ends_pid).unwrap();
    runtime().block_on(async {
        let factory = node.factory();
        let Recovered::Live(sandbox) = factory.recover(&spec, Some(&record)).await.unwrap() else { panic!() };
        assert_eq!(sandbox.record(), record);
        let mut list = sandbox.pod().list().await.unwrap();
        list.sort_by_key(|status| status.state == ContainerState::Running);
        assert_eq!((&list[0].id, list[0].exit.as_ref().map(|exit| exit.code)), (&ends, Some(5)));
        assert_eq!((&list[1].id, list[1].state), (&stays, ContainerState::Running));
        let mut events = sandbox.pod().events();
        sandbox.pod().signal(&stays, 9, true).await.unwrap();
        assert_eq!(exit_of(&mut events, &stays).await.code, 137);
        sandbox.stop().await.unwrap();
        factory.remove_leftovers(&spec, Some(&record)).await.unwrap();
    });
    node.assert_clean(&spec);
}

#[needs(root)]
#[tokio::test]
async fn the_death_of_a_pods_init_is_the_sandboxs() {
    let node = Bed::new();
    let mut spec = node.spec();
    spec.namespaces.pid = NamespaceMode::Pod;
    let factory = node.factory();
    let sandbox = factory.create(&spec).await.unwrap();
    let mut events = sandbox.pod().events();
    let (id, _) = node.run(&*sandbox, "sleep 1000").await;
    let init = cgroup_dirs(&format!("{}/sandbox-init-{}", spec.cgroup, spec.id)).unwrap();
    let pids =
        init.iter().find_map(|dir| fs::read_to_string(dir.join("cgroup.procs")).ok().filter(|text| !text.is_empty()));
    signal(pids.unwrap().trim().parse().unwrap(), Signal::KILL).unwrap();
    assert_eq!(exit_of(&mut events, &id).await.code, 137);
    let reason = gone(&mut events).await;
    assert!(reason.contains("init of the pod's PID namespace"), "{reason}");
    let Recovered::Dead { reason, exits } = factory.recover(&spec, Some(&sandbox.record())).await.unwrap() else {
        panic!()
    };
    assert!(reason.contains("init") && exits.len() == 1, "{reason} {exits:?}");
    sandbox.stop().await.unwrap();
    factory.remove_leftovers(&spec, Some(&sandbox.record())).await.unwrap();
    node.assert_clean(&spec);
}

#[needs(root)]
#[tokio::test]
async fn a_start_that_fails_says_why_and_leaves_nothing() {
    let node = Bed::new();
    let mut spec = node.spec();
    spec.sysctls.insert("net.ipv4.no_such_thing".into(), "1".into());
    let Err(error) = node.factory().create(&spec).await else { panic!("it was made") };
    assert!(error.to_string().contains("no_such_thing"), "{error}");
    node.assert_clean(&spec);
    let spec = node.spec();
    let factory = NamespaceFactory::new(Arc::new(Launcher::new("/bin/false".as_ref()).unwrap()));
    let Err(error) = factory.create(&spec).await else { panic!("it was made") };
    assert!(error.to_string().contains("exit code 1"), "{error}");
    node.assert_clean(&spec);
}

fn undo(node: &Bed, spec: &SandboxSpec) {
    runtime().block_on(async {
        for _ in 0..2 {
            node.factory().remove_leftovers(spec, None).await.unwrap();
        }
    });
    node.assert_clean(spec);
}

#[needs(root)]
#[test]
fn a_create_cut_off_anywhere_is_undone_without_a_record() {
    let node = Bed::new();
    undo(&node, &node.spec());
    let mut made = 0;
    for cut in [0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 5000] {
        let mut spec = node.spec();
        spec.namespaces.pid = NamespaceMode::Pod;
        runtime().block_on(async {
            let factory = node.factory();
            let created = tokio::time::timeout(Duration::from_millis(cut), factory.create(&spec)).await;
            made += usize::from(created.is_ok());
        });
        undo(&node, &spec);
    }
    assert!((1..11).contains(&made), "{made} of 11 were not cut off");
    // All was made, and containers run, but the record was never written.
    let spec = node.spec();
    let running = runtime().block_on(async {
        let sandbox = node.factory().create(&spec).await.unwrap();
        node.run(&*sandbox, "sleep 1000").await.1
    });
    assert_eq!(shims(&spec).len(), 1);
    undo(&node, &spec);
    assert!(!process_exists(running));
}
