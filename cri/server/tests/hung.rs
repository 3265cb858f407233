//! A sandbox that answers nothing: whatever is asked of it ends in time, it says what happened, and nobody else waits.
//! Where time is paused, what is measured is what the server waits for, and not what the machine takes. Paused time
//! jumps to the next limit whenever nothing else is to be done here, also while the store writes: so it is looked at
//! only where nothing was to be written before.

#![allow(clippy::unwrap_used)]

mod bed;

use std::time::Duration;

use bed::fake_pod::FakeOp;
use bed::{Bed, container, eventually, pod};
use cofferdam_cri_api::v1 as cri;
use cofferdam_cri_api::v1::runtime_service_server::RuntimeService;
use tokio::time::{Instant, pause};
use tonic::{Code, Request};

/// What StopPodSandbox may take whatever the guest does.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// Paused time goes by whole milliseconds.
const SLACK: Duration = Duration::from_millis(100);

/// A bed with a pod whose container runs, and which has gone mute.
async fn mute() -> (Bed, String, String) {
    let bed = Bed::new();
    let sandbox = bed.run(pod("web")).await.unwrap();
    let id = bed.started(&sandbox).await;
    bed.pod(&sandbox).mute();
    (bed, sandbox, id)
}

/// The same, in paused time.
async fn paused() -> (Bed, String, String) {
    let mute = mute().await;
    pause();
    mute
}

/// How long the sandbox was waited for before it was killed.
fn waited(bed: &Bed, since: Instant) -> Duration {
    bed.world.killed.lock().unwrap().unwrap().duration_since(since)
}

async fn reason_of(bed: &Bed, sandbox: &str) -> String {
    let request = cri::PodSandboxStatusRequest { pod_sandbox_id: sandbox.into(), verbose: true };
    let answer = bed.server.pod_sandbox_status(Request::new(request)).await.unwrap().into_inner();
    assert_eq!(answer.status.unwrap().state(), cri::PodSandboxState::SandboxNotready);
    let details: serde_json::Value = serde_json::from_str(&answer.info["cofferdam"]).unwrap();
    details["reason"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn stopping_its_pod_takes_ten_seconds_at_most_and_says_why() {
    let (bed, sandbox, id) = paused().await;
    let begun = Instant::now();
    bed.stop_pod(&sandbox).await.unwrap();
    assert!(begun.elapsed() <= STOP_LIMIT, "{:?}", begun.elapsed());
    let status = bed.status(&id).await.unwrap();
    assert_eq!((status.exit_code, status.reason.as_str()), (137, "Error"));
    assert!(status.message.contains("the guest was hung"), "{}", status.message);
    assert!(reason_of(&bed, &sandbox).await.contains("the guest was hung"));
    bed.remove_pod(&sandbox).await.unwrap();
    bed.assert_empty().await;
}

#[tokio::test]
async fn a_sandbox_that_cannot_even_be_killed_delays_no_answer() {
    let (bed, sandbox, id) = paused().await;
    let gate = bed.world.hold("stop");
    let begun = Instant::now();
    bed.stop_pod(&sandbox).await.unwrap();
    assert!(begun.elapsed() <= STOP_LIMIT, "{:?}", begun.elapsed());
    assert!(bed.status(&id).await.unwrap().message.contains("did not end"));
    gate.add_permits(10);
    bed.remove_pod(&sandbox).await.unwrap();
}

#[tokio::test]
async fn stopping_a_container_takes_its_grace_and_little_more() {
    let (bed, sandbox, id) = paused().await;
    let begun = Instant::now();
    bed.stop(&id, 5).await.unwrap();
    eventually("its exit", async || bed.status(&id).await.unwrap().finished_at != 0).await;
    let (waited, grace) = (waited(&bed, begun), Duration::from_secs(5));
    assert!(waited >= grace && waited <= grace + STOP_LIMIT + SLACK, "{waited:?}");
    let status = bed.status(&id).await.unwrap();
    assert_eq!((status.exit_code, status.reason.as_str()), (137, "Error"));
    assert!(status.message.contains("did not answer"), "{}", status.message);
    eventually("its end", async || bed.pods().await[0].state() == cri::PodSandboxState::SandboxNotready).await;
    assert!(reason_of(&bed, &sandbox).await.contains("did not answer"));
}

#[tokio::test]
async fn a_shorter_stop_shortens_a_longer_one_that_has_no_answer_yet() {
    let (bed, sandbox, id) = paused().await;
    let begun = Instant::now();
    let shorter = async {
        eventually("SIGTERM", async || bed.pod(&sandbox).calls().contains(&(FakeOp::Signal, id.clone()))).await;
        bed.stop(&id, 0).await
    };
    let (longer, shorter) = tokio::join!(bed.stop(&id, 100_000), shorter);
    longer.unwrap();
    shorter.unwrap();
    assert!(waited(&bed, begun) < Duration::from_secs(1000), "{:?}", waited(&bed, begun));
}

#[tokio::test]
async fn its_container_and_it_can_be_removed() {
    let (bed, sandbox, id) = paused().await;
    let begun = Instant::now();
    bed.remove(&id).await.unwrap();
    assert!(waited(&bed, begun) <= STOP_LIMIT + SLACK, "{:?}", waited(&bed, begun));
    bed.remove_pod(&sandbox).await.unwrap();
    bed.assert_empty().await;
}

#[tokio::test]
async fn other_pods_do_not_wait_for_it() {
    let (bed, sandbox, id) = mute().await;
    let hung = bed.stop(&id, 100_000);
    let others = async {
        eventually("SIGTERM", async || bed.pod(&sandbox).calls().contains(&(FakeOp::Signal, id.clone()))).await;
        let other = bed.run(pod("other")).await.unwrap();
        let app = bed.started(&other).await;
        assert_eq!(bed.exec(&app, 0).await.unwrap().exit_code, 0);
        let request = Request::new(cri::ListPodSandboxStatsRequest::default());
        let stats = bed.server.list_pod_sandbox_stats(request).await.unwrap().into_inner().stats;
        assert_eq!(stats.len(), 2);
        assert_eq!(bed.containers().await.len(), 2);
        bed.stop(&app, 0).await.unwrap();
        bed.remove(&app).await.unwrap();
        let again = bed.create(&other, container("again")).await.unwrap();
        bed.start(&again).await.unwrap();
        bed.remove_pod(&other).await.unwrap();
        let exec = bed.exec(&id, 1).await.unwrap_err();
        assert_eq!(exec.code(), Code::DeadlineExceeded, "{exec}");
        bed.remove_pod(&sandbox).await.unwrap();
    };
    tokio::join!(hung, others).0.unwrap();
    bed.assert_empty().await;
}

#[test]
fn the_next_daemon_comes_up_and_stops_it() {
    let daemon = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (bed, sandbox, id) = daemon().block_on(mute());
    let bed = bed.restarted();
    daemon().block_on(async {
        pause();
        let begun = Instant::now();
        bed.server.0.recover().await.unwrap();
        assert!(begun.elapsed() <= Duration::from_secs(5) + SLACK, "{:?}", begun.elapsed());
        let other = bed.run(pod("other")).await.unwrap();
        bed.started(&other).await;
        let begun = Instant::now();
        bed.stop_pod(&sandbox).await.unwrap();
        assert!(begun.elapsed() <= STOP_LIMIT, "{:?}", begun.elapsed());
        assert_eq!(bed.status(&id).await.unwrap().exit_code, 137);
        for sandbox in [sandbox, other] {
            bed.remove_pod(&sandbox).await.unwrap();
        }
        bed.assert_empty().await;
    });
}

#[test]
fn a_pod_that_the_next_daemon_has_not_found_again_can_be_stopped_at_once() {
    let daemon = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (bed, sandbox, id) = daemon().block_on(mute());
    let bed = bed.restarted();
    daemon().block_on(async {
        let gate = bed.world.hold("recover");
        pause();
        bed.server.0.recover().await.unwrap();
        let begun = Instant::now();
        bed.stop_pod(&sandbox).await.unwrap();
        assert!(begun.elapsed() <= STOP_LIMIT, "{:?}", begun.elapsed());
        for text in [bed.status(&id).await.unwrap().message, reason_of(&bed, &sandbox).await] {
            assert!(text.contains("had not answered"), "{text}");
        }
        bed.remove_pod(&sandbox).await.unwrap();
        // What it finds now, at last, is a pod that is gone.
        gate.add_permits(100);
        assert!(bed.pods().await.is_empty() && bed.world.running.lock().unwrap().is_empty());
    });
}
