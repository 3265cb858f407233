//! Walks the steps of RunPodSandbox and CreateContainer themselves: each fails, or the daemon dies there, before the
//! step and after it. Nothing is left, and the same request works afterwards. A step that is added is walked without a
//! change here.

#![allow(clippy::unwrap_used)]

mod bed;

use bed::faults::Fate;
use bed::{Bed, eventually, with_ports};
use cofferdam_cri_api::v1 as cri;
use cofferdam_cri_api::v1::runtime_service_server::RuntimeService;
use cofferdam_cri_server::{ContainerStep, Moment, PodStep};
use tonic::Request;

const MOMENTS: [Moment; 2] = [Moment::Before, Moment::After];

/// A pod that needs every step: limits in a cgroup of its own.
fn pod() -> cri::PodSandboxConfig {
    let resources = cri::LinuxContainerResources { memory_limit_in_bytes: 1 << 30, ..Default::default() };
    let linux = cri::LinuxPodSandboxConfig { resources: Some(resources), ..Default::default() };
    cri::PodSandboxConfig { linux: Some(linux), ..bed::pod("web") }
}

fn pod_steps() -> impl Iterator<Item = (PodStep, Moment)> {
    PodStep::CREATION.iter().copied().flatten().flat_map(|step| MOMENTS.map(|moment| (*step, moment)))
}

fn container_steps() -> impl Iterator<Item = (ContainerStep, Moment)> {
    ContainerStep::CREATION.iter().copied().flatten().flat_map(|step| MOMENTS.map(|moment| (*step, moment)))
}

/// Runs a daemon's life; at its end all of the daemon's tasks are dropped where they stand.
fn daemon<T>(life: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(life)
}

#[tokio::test]
async fn a_pod_that_fails_at_any_step_leaves_nothing_and_starts_when_asked_again() {
    for (step, moment) in pod_steps() {
        let bed = Bed::new();
        bed.gate.set(step, moment, Fate::Fails);
        let error = bed.run(pod()).await.unwrap_err();
        assert!(error.message().contains("injected"), "{step:?} {moment:?}: {error}");
        assert!(bed.is_empty().await, "{step:?} {moment:?}");
        works(&bed).await;
    }
}

#[tokio::test]
async fn a_container_that_fails_at_any_step_leaves_nothing_and_is_created_when_asked_again() {
    for (step, moment) in container_steps() {
        let bed = Bed::new();
        let sandbox = bed.run(pod()).await.unwrap();
        bed.gate.set(step, moment, Fate::Fails);
        let error = bed.create(&sandbox, with_ports("app")).await.unwrap_err();
        assert!(error.message().contains("injected"), "{step:?} {moment:?}: {error}");
        no_container(&bed, &sandbox, &format!("{step:?} {moment:?}")).await;
        bed.create(&sandbox, with_ports("app")).await.unwrap();
        bed.remove_pod(&sandbox).await.unwrap();
        bed.assert_empty().await;
    }
}

#[test]
fn a_pod_whose_daemon_dies_at_any_step_is_undone_by_the_next_and_starts_when_asked_again() {
    for (step, moment) in pod_steps() {
        let bed = Bed::new();
        bed.gate.set(step, moment, Fate::Hangs);
        daemon(async {
            tokio::select! {
                ran = bed.run(pod()) => panic!("{step:?} {moment:?} was not reached: {ran:?}"),
                () = bed.gate.reached() => {}
            }
        });
        let bed = bed.restarted();
        daemon(async {
            bed.server.0.recover().await.unwrap();
            if (step, moment) == (PodStep::Ready, Moment::After) {
                // It was READY when the daemon died: a retry finds it.
                assert_eq!(bed.pods().await.len(), 1);
            } else {
                eventually(&format!("undone: {step:?} {moment:?}"), async || bed.is_empty().await).await;
            }
            works(&bed).await;
        });
    }
}

#[test]
fn a_container_whose_daemon_dies_at_any_step_is_undone_by_the_next_and_created_when_asked_again() {
    for (step, moment) in container_steps() {
        let bed = Bed::new();
        let sandbox = daemon(async {
            let sandbox = bed.run(pod()).await.unwrap();
            bed.gate.set(step, moment, Fate::Hangs);
            tokio::select! {
                made = bed.create(&sandbox, with_ports("app")) => panic!("{step:?} {moment:?}: {made:?}"),
                () = bed.gate.reached() => sandbox,
            }
        });
        let bed = bed.restarted();
        daemon(async {
            bed.server.0.recover().await.unwrap();
            if (step, moment) == (ContainerStep::Created, Moment::After) {
                assert_eq!(bed.containers().await.len(), 1);
            } else {
                no_container(&bed, &sandbox, &format!("{step:?} {moment:?}")).await;
            }
            let id = bed.create(&sandbox, with_ports("app")).await.unwrap();
            bed.start(&id).await.unwrap();
            bed.remove_pod(&sandbox).await.unwrap();
            bed.assert_empty().await;
        });
    }
}

#[tokio::test]
async fn a_write_of_the_store_that_fails_at_any_time_leaves_nothing() {
    let mut writes = 0;
    for nth in 0.. {
        let bed = Bed::new();
        bed.writes.fail(nth);
        let ran = bed.run(pod()).await;
        if !bed.writes.failed() {
            ran.unwrap();
            break;
        }
        writes = nth + 1;
        let error = ran.unwrap_err();
        assert!(error.message().contains("could not be written"), "write {nth}: {error}");
        assert!(bed.is_empty().await, "write {nth}");
        works(&bed).await;
    }
    assert_eq!(writes, 3, "record, addresses, READY");
}

#[tokio::test]
async fn a_write_of_the_store_that_fails_under_a_container_leaves_nothing_of_it() {
    let mut writes = 0;
    for nth in 0.. {
        let bed = Bed::new();
        let sandbox = bed.run(pod()).await.unwrap();
        bed.writes.fail(nth);
        let made = bed.create(&sandbox, with_ports("app")).await;
        if !bed.writes.failed() {
            made.unwrap();
            break;
        }
        writes = nth + 1;
        let error = made.unwrap_err();
        assert!(error.message().contains("could not be written"), "write {nth}: {error}");
        no_container(&bed, &sandbox, &format!("write {nth}")).await;
        bed.create(&sandbox, with_ports("app")).await.unwrap();
    }
    assert_eq!(writes, 2, "record, CREATED");
}

/// A retry while recovery is undoing joins it: there is one removal, not two beside each other.
#[test]
fn a_retry_while_recovery_undoes_waits_for_it() {
    let bed = Bed::new();
    bed.gate.set(PodStep::Start, Moment::After, Fate::Hangs);
    daemon(async {
        tokio::select! {
            ran = bed.run(pod()) => panic!("was not held: {ran:?}"),
            () = bed.gate.reached() => {}
        }
    });
    let bed = bed.restarted();
    daemon(async {
        let detach = bed.world.hold("detach");
        bed.server.0.recover().await.unwrap();
        eventually("undoing", async || bed.world.done("detach") == 1).await;
        let retry = bed.run(pod());
        tokio::pin!(retry);
        let early = tokio::time::timeout(std::time::Duration::from_millis(100), &mut retry).await;
        assert!(early.is_err(), "the retry did not wait: {early:?}");
        detach.add_permits(100);
        let id = retry.await.unwrap();
        assert_eq!((bed.world.done("detach"), bed.world.done("remove_leftovers")), (1, 1));
        bed.remove_pod(&id).await.unwrap();
        bed.assert_empty().await;
    });
}

async fn no_container(bed: &Bed, sandbox: &str, context: &str) {
    assert!(bed.containers().await.is_empty(), "{context}");
    assert_eq!(bed.container_leftovers(), [""; 0], "{context}");
    let request = cri::PodSandboxStatusRequest { pod_sandbox_id: sandbox.into(), verbose: false };
    let status = bed.server.pod_sandbox_status(Request::new(request)).await.unwrap().into_inner();
    assert!(status.containers_statuses.is_empty(), "{context}");
    assert_eq!(bed.pod(sandbox).containers(), [""; 0], "{context}: in the shim");
}

async fn works(bed: &Bed) {
    let id = bed.run(pod()).await.unwrap();
    bed.remove_pod(&id).await.unwrap();
    bed.assert_empty().await;
}
