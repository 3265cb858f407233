//! Exec and attach over a connection.

mod support;

use std::time::Duration;

use cofferdam_streaming::AttachRequest;
use cofferdam_streaming::spdy::Frame;
use support::{Client, exec, start};
use tokio::time::timeout;

const V4: Option<&str> = Some("v4.channel.k8s.io");

async fn open(client: &mut Client, kinds: &[&str]) -> Vec<u32> {
    let mut ids = Vec::new();
    for kind in kinds {
        ids.push(client.open(&[("streamtype", kind)]).await);
    }
    ids
}

#[tokio::test]
async fn the_exit_code_comes_after_all_output_and_then_the_connection_ends() {
    let (server, _events) = start().await;
    let mut client = Client::connect(&server.exec_url(exec(&["exit", "42"], "oe")).unwrap(), V4).await;
    let ids = open(&mut client, &["error", "stdout", "stderr"]).await;
    while client.next().await.is_some_and(|f| !matches!(f, Frame::GoAway { .. })) {}
    assert_eq!(client.text(ids[2]), "oops");
    let status: serde_json::Value = serde_json::from_str(&client.text(ids[0])).unwrap();
    assert_eq!(status["details"]["causes"][0]["message"], "42");
    assert_eq!(client.ended.last(), Some(&ids[0]), "the error stream ends last: {:?}", client.ended);
}

#[tokio::test]
async fn older_protocols_get_text() {
    for (protocol, cmd, expected) in [
        (Some("v3.channel.k8s.io"), "exit", "command terminated with non-zero exit code: exit status 7"),
        (Some("v2.channel.k8s.io"), "none", "error executing command in container: no such command"),
        (Some("channel.k8s.io"), "exit", "command terminated with non-zero exit code: exit status 7"),
        (None, "none", "error executing command in container: no such command"),
    ] {
        let (server, _events) = start().await;
        let mut client = Client::connect(&server.exec_url(exec(&[cmd, "7"], "oe")).unwrap(), protocol).await;
        let ids = open(&mut client, &["error", "stdout", "stderr"]).await;
        assert_eq!(String::from_utf8(client.until_ended(ids[0]).await).unwrap(), expected);
    }
}

#[tokio::test]
async fn stdin_is_half_closed_and_a_peer_without_window_updates_gets_everything() {
    let (server, _events) = start().await;
    let mut client = Client::connect(&server.exec_url(exec(&["echo"], "io")).unwrap(), V4).await;
    let ids = open(&mut client, &["error", "stdin", "stdout"]).await;
    let mut sent = Vec::new();
    for round in 0..40_u8 {
        let piece = vec![round; 50_000];
        client.data(ids[1], &piece, false).await;
        sent.extend_from_slice(&piece);
        while client.received.get(&ids[2]).map_or(0, |r| r.0.len()) < sent.len() {
            client.next().await.unwrap();
        }
    }
    assert!(!client.ended.contains(&ids[1]), "clients take the end of stdin for the end of the process");
    client.data(ids[1], b"", true).await;
    assert_eq!(client.until_ended(ids[2]).await, sent);
    let status = client.until_ended(ids[0]).await;
    assert!(String::from_utf8(status).unwrap().contains("Success"));
}

#[tokio::test]
async fn a_peer_that_keeps_windows_is_held_to_them() {
    let (server, mut events) = start().await;
    let mut client = Client::connect(&server.exec_url(exec(&["write", "64"], "o")).unwrap(), V4).await;
    client.send(Frame::Settings(vec![(7, 1000)])).await;
    let ids = open(&mut client, &["error", "stdout"]).await;
    while client.received.get(&ids[1]).map_or(0, |r| r.0.len()) < 1000 {
        client.next().await.unwrap();
    }
    assert!(timeout(Duration::from_millis(300), client.next()).await.is_err(), "the window is used up");
    let taken = std::iter::from_fn(|| events.try_recv().ok()).count();
    assert!(taken <= 1, "{taken} pieces of 64 KiB were taken from the process");
    client.send(Frame::WindowUpdate { id: ids[1], delta: 500 }).await;
    while client.received[&ids[1]].0.len() < 1500 {
        client.next().await.unwrap();
    }
    client.send(Frame::WindowUpdate { id: ids[1], delta: 1 << 30 }).await;
    client.send(Frame::WindowUpdate { id: 0, delta: 1 << 30 }).await;
    assert_eq!(client.until_ended(ids[1]).await.len(), 64 * 64 * 1024);
}

#[tokio::test]
async fn a_client_that_does_not_read_stops_the_process_and_one_that_goes_ends_it() {
    let (server, mut events) = start().await;
    let mut client = Client::connect(&server.exec_url(exec(&["write", "4096"], "o")).unwrap(), V4).await;
    open(&mut client, &["error", "stdout"]).await;
    let mut pieces = 0;
    while let Ok(event) = timeout(Duration::from_secs(1), events.recv()).await {
        assert_eq!(event, Some("wrote"));
        pieces += 1;
    }
    // The rest is in the kernel's socket buffers.
    assert!(pieces < 400, "{pieces} pieces of 64 KiB were taken");
    drop(client);
    let ended = async { while events.recv().await != Some("ended") {} };
    timeout(Duration::from_secs(180), ended).await.unwrap();
}

#[tokio::test]
async fn a_client_that_goes_while_nothing_happens_ends_the_call() {
    let (server, mut events) = start().await;
    let mut client = Client::connect(&server.exec_url(exec(&["sleep"], "io")).unwrap(), V4).await;
    let ids = open(&mut client, &["error", "stdin", "stdout"]).await;
    assert_eq!(timeout(Duration::from_secs(180), events.recv()).await.unwrap(), Some("sleeping"));
    // Input that nobody reads, more than there is room for: the FIN stays behind it.
    let stuck = async {
        for _ in 0..1000 {
            client.data(ids[1], &[0; 50_000], false).await;
        }
    };
    assert!(timeout(Duration::from_secs(1), stuck).await.is_err(), "the client is slowed down");
    assert!(events.try_recv().is_err());
    drop(client);
    assert_eq!(timeout(Duration::from_secs(180), events.recv()).await.unwrap(), Some("ended"));
}

#[tokio::test]
async fn a_terminal_is_resized() {
    let (server, _events) = start().await;
    let mut client = Client::connect(&server.exec_url(exec(&["resize"], "iot")).unwrap(), V4).await;
    let ids = open(&mut client, &["error", "stdin", "stdout", "resize"]).await;
    client.data(ids[3], b"{\"Width\":132,\"Height\":50}\n", false).await;
    assert_eq!(client.until_ended(ids[2]).await, b"132x50");
}

#[tokio::test]
async fn attach_answers_and_unknown_streams_are_reset() {
    let (server, _events) = start().await;
    let request = AttachRequest { container_id: "abc".into(), tty: false, stdin: false, stdout: true, stderr: false };
    let mut client = Client::connect(&server.attach_url(request).unwrap(), V4).await;
    let ids = open(&mut client, &["error", "video", "stdout"]).await;
    assert_eq!(client.until_ended(ids[2]).await, b"abc");
    assert_eq!(client.reset.keys().collect::<Vec<_>>(), [&ids[1]]);
}

#[tokio::test]
async fn garbage_and_pings_are_answered() {
    let (server, mut events) = start().await;
    let mut client = Client::connect(&server.exec_url(exec(&["sleep"], "o")).unwrap(), V4).await;
    open(&mut client, &["error", "stdout"]).await;
    assert_eq!(timeout(Duration::from_secs(180), events.recv()).await.unwrap(), Some("sleeping"));
    client.send(Frame::Ping(9)).await;
    assert_eq!(client.next().await, Some(Frame::Ping(9)));
    tokio::io::AsyncWriteExt::write_all(&mut client.tcp, &[0x80, 2, 0, 1, 0, 0, 0, 0]).await.unwrap();
    assert_eq!(client.next().await, Some(Frame::GoAway { last: 3, status: 1 }));
    assert_eq!(timeout(Duration::from_secs(180), events.recv()).await.unwrap(), Some("ended"));
}
