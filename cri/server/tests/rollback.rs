//! A failure of each effect below RunPodSandbox and CreateContainer leaves nothing, and the same request works
//! afterwards. (`steps.rs` walks the steps themselves.)

#![allow(clippy::unwrap_used)]

mod bed;

use bed::fake_pod::FakeOp;
use bed::{Bed, container, eventually, pod, with_ports};
use cofferdam_cri_api::v1::runtime_service_server::RuntimeService;
use cofferdam_sandbox::PodError;

#[tokio::test]
async fn a_pod_whose_start_fails_in_any_effect_leaves_nothing_and_starts_when_asked_again() {
    for effect in ["allocate", "program", "create", "attach", "up", "start"] {
        let bed = Bed::new();
        bed.world.fail(effect);
        let error = bed.run(pod("web")).await.unwrap_err();
        assert!(error.message().contains(effect), "{effect}: {error}");
        bed.assert_empty().await;
        let id = bed.run(pod("web")).await.unwrap();
        bed.remove_pod(&id).await.unwrap();
        bed.assert_empty().await;
    }
}

#[tokio::test]
async fn clean_up_that_fails_is_tried_until_done() {
    for step in ["unbind", "detach", "remove_leftovers", "stop"] {
        let bed = Bed::new();
        bed.world.fail("up");
        bed.world.fail(step);
        assert!(bed.run(pod("web")).await.unwrap_err().message().contains("up"));
        bed.assert_empty().await;
        assert!(bed.world.done(step) > 0, "{step}");
    }
}

#[tokio::test]
async fn a_container_whose_creation_fails_in_any_effect_leaves_nothing_and_is_created_when_asked_again() {
    for step in ["prepare_rootfs", "check_container", "set_ports", "stage", "shim"] {
        let bed = Bed::new();
        let sandbox = bed.run(pod("web")).await.unwrap();
        match step {
            "shim" => bed.pod(&sandbox).fail_next(FakeOp::Create, PodError::Failed("injected: shim".into())),
            step => bed.world.fail(step),
        }
        let error = bed.create(&sandbox, with_ports("app")).await.unwrap_err();
        assert!(error.message().contains(step), "{step}: {error}");
        assert!(bed.containers().await.is_empty(), "{step}");
        assert_eq!(bed.container_leftovers(), [""; 0], "{step}");
        let id = bed.create(&sandbox, with_ports("app")).await.unwrap();
        bed.remove(&id).await.unwrap();
        bed.remove_pod(&sandbox).await.unwrap();
        bed.assert_empty().await;
    }
}

#[tokio::test]
async fn a_pod_removed_while_a_container_is_made_takes_it_along() {
    let bed = Bed::new();
    let sandbox = bed.run(pod("web")).await.unwrap();
    let gate = bed.world.hold("stage");
    let creating = tokio::spawn({
        let server = bed.server.clone();
        let request = bed::create_request(&sandbox, container("app"));
        async move { server.create_container(request).await }
    });
    eventually("staging", async || bed.world.done("stage") == 1).await;
    let removing = bed.remove_pod(&sandbox);
    tokio::pin!(removing);
    let early = tokio::time::timeout(std::time::Duration::from_millis(300), &mut removing).await;
    gate.add_permits(1);
    if early.is_err() {
        removing.await.unwrap();
    }
    assert!(creating.await.unwrap().is_err(), "a container without a pod was answered");
    bed.assert_empty().await;
}

#[tokio::test]
async fn a_pod_stopped_while_a_container_is_made_keeps_none_that_never_ends() {
    let bed = Bed::new();
    let sandbox = bed.run(pod("web")).await.unwrap();
    let gate = bed.world.hold("stage");
    let creating = async { bed.create(&sandbox, container("app")).await };
    let stopping = async {
        eventually("staging", async || bed.world.done("stage") == 1).await;
        bed.stop_pod(&sandbox).await.unwrap();
        gate.add_permits(1);
    };
    let (created, ()) = tokio::join!(creating, stopping);
    assert!(created.is_err());
    assert!(bed.containers().await.is_empty() && bed.container_leftovers().is_empty());
}

#[tokio::test]
async fn a_start_whose_clean_up_hangs_answers_all_the_same() {
    let bed = Bed::new();
    let gate = bed.world.hold("detach");
    bed.world.fail("attach");
    let answer = tokio::time::timeout(std::time::Duration::from_secs(180), bed.run(pod("web"))).await;
    let error = answer.expect("the answer does not wait for the clean-up").unwrap_err();
    assert!(error.message().contains("attach"), "{error}");
    gate.add_permits(10);
    eventually("clean-up", async || bed.world.leases.lock().unwrap().is_empty()).await;
}
