//! A shim that is played: a process that does nothing, and a socket whose other end answers the hello and no more.

use std::process::Command;

use cofferdam_pod_api::{Body, Decoder, MAX_FRAME, Patience, answer, sync_after_magic};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::Instant;

use super::*;
use crate::identity;

/// Answers the hello, and reads on without a word.
async fn say_hello_and_no_more(mut socket: UnixStream) {
    let (mut decoder, mut synced, mut buffer) = (Decoder::new(MAX_FRAME), false, [0; 4096]);
    while let Ok(length @ 1..) = socket.read(&mut buffer).await {
        decoder.push(&buffer[..length]);
        if !synced && let Ok(Some(frame)) = sync_after_magic(&mut decoder, &mut synced) {
            let Some(Body::Hello(hello)) = frame.body else { panic!("{frame:?}") };
            socket.write_all(&answer(&hello, "test", None).bytes).await.unwrap();
        }
    }
}

/// The shim, and its directory. Time is paused from here on.
async fn mute_shim() -> (Arc<Shim>, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let (ours, theirs) = UnixStream::pair().unwrap();
    tokio::spawn(say_hello_and_no_more(theirs));
    #[expect(clippy::zombie_processes, reason = "the shim under test reaps it by its pidfd")]
    let child = Command::new("sleep").arg("1000").spawn().unwrap();
    let identity = identity::identify(child.id()).unwrap();
    let pidfd = Arc::new(PidFd::new(identity::find(&identity).unwrap()).unwrap());
    let connection = Connection::open(ours).await.unwrap();
    tokio::time::pause();
    (Shim::start(dir.path().to_owned(), identity, pidfd, connection), dir)
}

async fn gone(events: &mut broadcast::Receiver<PodEvent>) -> String {
    match events.recv().await.unwrap() {
        PodEvent::Gone(reason) => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn one_that_does_not_answer_is_killed_and_everybody_is_told_why() {
    let (shim, _dir) = mute_shim().await;
    let mut events = shim.events();
    let begun = Instant::now();
    let (list, stats) = tokio::join!(shim.list(), shim.stats("c"));
    let limit = Patience::default().answer + Patience::MARGIN;
    assert!(begun.elapsed() < limit + Duration::from_secs(5), "{:?}", begun.elapsed());
    for error in [list.unwrap_err(), stats.unwrap_err()] {
        assert!(matches!(&error, PodError::Gone(reason) if reason.contains("did not answer")), "{error}");
    }
    assert!(gone(&mut events).await.contains("did not answer a request"));
    identity::find(shim.identity()).unwrap_err();
    assert!(shim.stop().await.unwrap().unwrap().contains("did not answer"));
}

#[tokio::test]
async fn a_request_that_nobody_waits_for_any_more_is_still_owed() {
    let (shim, _dir) = mute_shim().await;
    let mut events = shim.events();
    assert!(tokio::time::timeout(Duration::from_secs(1), shim.stats("c")).await.is_err());
    assert!(gone(&mut events).await.contains("(stats)"));
}

#[tokio::test]
async fn one_that_does_not_stop_is_killed_in_time() {
    let (shim, _dir) = mute_shim().await;
    let mut events = shim.events();
    let begun = Instant::now();
    // How long the kernel takes for the kill is nothing that paused time tells.
    let _ = shim.stop().await;
    assert!(begun.elapsed() <= STOP + KILLED + Duration::from_secs(1), "{:?}", begun.elapsed());
    assert!(gone(&mut events).await.contains("did not end within 5s"));
}
