//! What kubelet depends on: stops and removals that can be repeated, exec deadlines, reasons of exits, events.

#![allow(clippy::unwrap_used)]

mod bed;

use std::time::{Duration, Instant};

use bed::fake_pod::{FakeExec, FakeOp};
use bed::{Bed, container, eventually, pod};
use cofferdam_cri_api::v1 as cri;
use cofferdam_cri_api::v1::runtime_service_server::RuntimeService;
use cofferdam_sandbox::PodError;
use futures::StreamExt;
use tonic::{Code, Request};

#[tokio::test]
async fn a_shorter_stop_shortens_a_longer_one_and_exec_works_meanwhile() {
    let bed = Bed::new();
    let sandbox = bed.run(pod("web")).await.unwrap();
    let id = bed.started(&sandbox).await;
    bed.pod(&sandbox).ignore_term();
    let begun = Instant::now();
    let shorter = async {
        eventually("SIGTERM", async || bed.pod(&sandbox).calls().contains(&(FakeOp::Signal, id.clone()))).await;
        assert_eq!(bed.exec(&id, 5).await.unwrap().exit_code, 0);
        assert_eq!(bed.status(&id).await.unwrap().state(), cri::ContainerState::ContainerRunning);
        bed.stop(&id, 0).await
    };
    let (longer, shorter) = tokio::join!(bed.stop(&id, 1_000_000), shorter);
    longer.unwrap();
    shorter.unwrap();
    // Far from both: the longer stop, and what a busy machine takes for the shorter one.
    assert!(begun.elapsed() < Duration::from_secs(1000));
    assert_eq!(bed.status(&id).await.unwrap().exit_code, 137);
}

#[tokio::test]
async fn what_is_gone_is_stopped_and_removed_and_has_no_status() {
    let bed = Bed::new();
    let sandbox = bed.run(pod("web")).await.unwrap();
    let id = bed.started(&sandbox).await;
    bed.stop_pod(&sandbox).await.unwrap();
    bed.stop_pod(&sandbox).await.unwrap();
    assert_eq!(bed.status(&id).await.unwrap().reason, "Error");
    for _ in 0..2 {
        bed.stop(&id, 1).await.unwrap();
        bed.remove(&id).await.unwrap();
    }
    for _ in 0..2 {
        bed.remove_pod(&sandbox).await.unwrap();
        bed.stop_pod(&sandbox).await.unwrap();
    }
    assert_eq!(bed.status(&id).await.unwrap_err().code(), Code::NotFound);
    let request = cri::PodSandboxStatusRequest { pod_sandbox_id: sandbox, verbose: true };
    assert_eq!(bed.server.pod_sandbox_status(Request::new(request)).await.unwrap_err().code(), Code::NotFound);
    bed.assert_empty().await;
}

#[tokio::test]
async fn an_exec_that_takes_too_long_is_killed_and_told_so() {
    let bed = Bed::new();
    let sandbox = bed.run(pod("web")).await.unwrap();
    let id = bed.started(&sandbox).await;
    bed.pod(&sandbox).answer_exec(FakeExec { stdout: b"x".to_vec(), code: None, ..FakeExec::default() });
    assert_eq!(bed.exec(&id, 1).await.unwrap_err().code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn an_exec_with_endless_output_ends_and_stays_below_grpcs_limit() {
    let bed = Bed::new();
    let sandbox = bed.run(pod("web")).await.unwrap();
    let id = bed.started(&sandbox).await;
    let much = vec![b'x'; 9 << 20];
    bed.pod(&sandbox).answer_exec(FakeExec { stdout: much.clone(), stderr: much, code: Some(3) });
    let answer = bed.exec(&id, 0).await.unwrap();
    assert_eq!(answer.exit_code, 3);
    assert!(answer.stdout.len() + answer.stderr.len() < 16 << 20 && answer.stdout.len() > 1 << 20);
}

#[tokio::test]
async fn every_end_has_its_reason() {
    let bed = Bed::new();
    let sandbox = bed.run(pod("web")).await.unwrap();
    for (attempt, (code, oom, reason)) in
        [(0, false, "Completed"), (2, false, "Error"), (137, true, "OOMKilled")].into_iter().enumerate()
    {
        let id = bed.create(&sandbox, container(&format!("c{attempt}"))).await.unwrap();
        bed.start(&id).await.unwrap();
        bed.pod(&sandbox).exit(&id, code, oom);
        eventually(reason, async || bed.status(&id).await.unwrap().reason == reason).await;
        let status = bed.status(&id).await.unwrap();
        assert_eq!(status.exit_code, code);
        assert!(status.started_at > 0 && status.finished_at >= status.started_at);
    }
    let id = bed.create(&sandbox, container("wrong")).await.unwrap();
    bed.pod(&sandbox).fail_next(FakeOp::Start, PodError::Invalid("no such command".into()));
    assert!(bed.start(&id).await.unwrap_err().message().contains("no such command"));
    let status = bed.status(&id).await.unwrap();
    assert_eq!((status.reason.as_str(), status.exit_code), ("StartError", 128));
}

#[tokio::test]
async fn the_name_of_an_exited_container_is_taken_until_it_is_removed() {
    let bed = Bed::new();
    let sandbox = bed.run(pod("web")).await.unwrap();
    let id = bed.started(&sandbox).await;
    assert_eq!(bed.create(&sandbox, container("app")).await.unwrap(), id, "a retry finds what it made");
    bed.stop(&id, 0).await.unwrap();
    let error = bed.create(&sandbox, container("app")).await.unwrap_err();
    assert_eq!(error.code(), Code::AlreadyExists);
    for part in [id.as_str(), "app", "exited", "remove it"] {
        assert!(error.message().contains(part), "{part}: {error}");
    }
    bed.remove(&id).await.unwrap();
    assert_ne!(bed.create(&sandbox, container("app")).await.unwrap(), id);
}

#[tokio::test]
async fn the_end_of_a_pod_is_told_once() {
    let bed = Bed::new();
    let request = Request::new(cri::GetEventsRequest {});
    let mut events = bed.server.get_container_events(request).await.unwrap().into_inner();
    bed.world.fail("attach");
    bed.run(pod("web")).await.unwrap_err();
    let sandbox = bed.run(pod("web")).await.unwrap();
    let id = bed.started(&sandbox).await;
    bed.stop_pod(&sandbox).await.unwrap();
    bed.stop_pod(&sandbox).await.unwrap();
    bed.remove_pod(&sandbox).await.unwrap();
    let mut told = Vec::new();
    while told.last() != Some(&(true, cri::ContainerEventType::ContainerDeletedEvent)) {
        let event = tokio::time::timeout(Duration::from_secs(180), events.next()).await.unwrap().unwrap().unwrap();
        assert!(event.container_id == sandbox || event.container_id == id, "of a pod that never was: {event:?}");
        told.push((event.container_id == sandbox, event.container_event_type()));
    }
    use cri::ContainerEventType::{
        ContainerCreatedEvent, ContainerDeletedEvent, ContainerStartedEvent, ContainerStoppedEvent,
    };
    for of_pod in [true, false] {
        let of: Vec<_> = told.iter().filter(|(p, _)| *p == of_pod).map(|(_, kind)| *kind).collect();
        let whole = [ContainerCreatedEvent, ContainerStartedEvent, ContainerStoppedEvent, ContainerDeletedEvent];
        assert_eq!(of, whole, "of the pod: {of_pod}");
    }
}

#[tokio::test]
async fn a_link_in_a_volume_leads_no_mount_out_of_the_pods_directory() {
    let bed = Bed::new();
    let sandbox = bed.run(pod("web")).await.unwrap();
    let volume = bed.dir.path().join("kubelet/pods/web/volumes/kubernetes.io~empty-dir/data");
    std::fs::create_dir_all(&volume).unwrap();
    std::os::unix::fs::symlink("/etc", volume.join("link")).unwrap();
    let mount = |path: &str| cri::Mount {
        container_path: "/mnt".into(),
        host_path: volume.join(path).display().to_string(),
        ..Default::default()
    };
    let with = |name: &str, path: &str| cri::ContainerConfig { mounts: vec![mount(path)], ..container(name) };
    for path in ["link", "link/ssl", "../../../../other"] {
        let error = bed.create(&sandbox, with("out", path)).await.unwrap_err();
        assert_eq!(error.code(), Code::PermissionDenied, "{path}: {error}");
    }
    bed.create(&sandbox, with("in", "")).await.unwrap();
    // A volume that kubelet names before it is there.
    bed.create(&sandbox, with("new", "new")).await.unwrap();
}

#[tokio::test]
async fn limits_of_a_pod_without_a_cgroup_parent_are_set() {
    let bed = Bed::new();
    let resources = cri::LinuxContainerResources {
        cpu_period: 100_000,
        cpu_quota: 50_000,
        memory_limit_in_bytes: 1 << 30,
        ..Default::default()
    };
    let with = |name: &str, parent: &str| cri::PodSandboxConfig {
        linux: Some(cri::LinuxPodSandboxConfig {
            resources: Some(resources.clone()),
            cgroup_parent: parent.into(),
            ..Default::default()
        }),
        ..pod(name)
    };
    bed.run(with("kubelets", "/kubepods/pod1")).await.unwrap();
    assert_eq!(*bed.world.resized.lock().unwrap(), []);
    bed.run(with("own", "")).await.unwrap();
    assert_eq!(*bed.world.resized.lock().unwrap(), [(Some(0.5), Some(1 << 30))]);
}

#[tokio::test]
async fn watchers_of_events_do_not_hold_up_the_daemons_end() {
    let bed = Bed::new();
    let request = Request::new(cri::GetEventsRequest {});
    let mut events = bed.server.get_container_events(request).await.unwrap().into_inner();
    bed.server.0.end_streams();
    let end = tokio::time::timeout(Duration::from_secs(180), events.next()).await.unwrap();
    assert!(end.is_none(), "{end:?}");
}

#[tokio::test]
async fn rules_are_programmed_while_the_sandbox_is_made_and_before_its_link() {
    for (held, beside) in [("create", "program"), ("program", "create")] {
        let bed = Bed::new();
        let gate = bed.world.hold(held);
        let starting = async { bed.run(pod("web")).await };
        let watching = async {
            eventually(beside, async || bed.world.done(beside) == 1 && bed.world.done(held) == 1).await;
            assert_eq!(bed.world.done("attach"), 0, "a link without {held}");
            gate.add_permits(1);
        };
        tokio::join!(starting, watching).0.unwrap();
        assert_eq!(bed.world.done("up"), 1);
    }
}

#[tokio::test]
async fn a_pods_name_is_taken_for_other_handlers_and_a_status_tells_the_signal_in_force() {
    let bed = Bed::new();
    let sandbox = bed.run(pod("web")).await.unwrap();
    for handler in ["namespace", "none"] {
        let request = cri::RunPodSandboxRequest { config: Some(pod("web")), runtime_handler: handler.into() };
        let error = bed.server.run_pod_sandbox(Request::new(request)).await.unwrap_err();
        assert!(error.code() == Code::AlreadyExists && error.message().contains(handler), "{error}");
    }
    assert_eq!(bed.run(pod("web")).await.unwrap(), sandbox);
    let id = bed.create(&sandbox, container("app")).await.unwrap();
    assert_eq!(bed.status(&id).await.unwrap().stop_signal(), cri::Signal::Sigterm);
}
