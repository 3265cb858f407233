//! Port-forward over a connection.

mod support;

use std::time::Duration;

use cofferdam_streaming::PortForwardRequest;
use cofferdam_streaming::spdy::Frame;
use support::{Client, start};
use tokio::time::timeout;

const PROTOCOL: Option<&str> = Some("portforward.k8s.io");

async fn pair(client: &mut Client, port: &str, request: &str) -> (u32, u32) {
    let of = |kind| [("streamtype", kind), ("port", port), ("requestid", request)];
    let error = client.open(&of("error")).await;
    (error, client.open(&of("data")).await)
}

fn any() -> PortForwardRequest {
    PortForwardRequest { sandbox_id: "pod".into(), ports: vec![] }
}

#[tokio::test]
async fn connections_are_carried_side_by_side_and_half_closed() {
    let (server, _events) = start().await;
    let mut client = Client::connect(&server.port_forward_url(any()).unwrap(), PROTOCOL).await;
    let first = pair(&mut client, "80", "0").await;
    let second = pair(&mut client, "80", "1").await;
    client.data(second.1, b"-two", true).await;
    assert_eq!(client.until_ended(second.1).await, b"pod-two");
    assert_eq!(client.until_ended(second.0).await, b"");
    client.data(first.1, b"-one", true).await;
    assert_eq!(client.until_ended(first.1).await, b"pod-one");
}

#[tokio::test]
async fn an_error_is_told_and_the_connection_goes_on() {
    let (server, _events) = start().await;
    let mut client = Client::connect(&server.port_forward_url(any()).unwrap(), PROTOCOL).await;
    let (error, data) = pair(&mut client, "81", "0").await;
    assert_eq!(client.until_ended(error).await, b"error forwarding port 81 to pod pod: connection refused");
    while !client.reset.contains_key(&data) && !client.ended.contains(&data) {
        client.next().await.unwrap();
    }
    let (_, data) = pair(&mut client, "80", "1").await;
    client.data(data, b"", true).await;
    assert_eq!(client.until_ended(data).await, b"pod");
}

#[tokio::test]
async fn a_reset_ends_the_forwarding() {
    let (server, mut events) = start().await;
    let mut client = Client::connect(&server.port_forward_url(any()).unwrap(), PROTOCOL).await;
    let (_, data) = pair(&mut client, "80", "0").await;
    client.send(Frame::RstStream { id: data, status: 5 }).await;
    assert_eq!(timeout(Duration::from_secs(180), events.recv()).await.unwrap(), Some("ended"));
}

#[tokio::test]
async fn ports_that_were_not_asked_for_and_streams_without_port_are_reset() {
    let (server, _events) = start().await;
    let request = PortForwardRequest { ports: vec![80], ..any() };
    let mut client = Client::connect(&server.port_forward_url(request).unwrap(), PROTOCOL).await;
    let other = client.open(&[("streamtype", "error"), ("port", "81"), ("requestid", "0")]).await;
    let none = client.open(&[("streamtype", "error"), ("requestid", "0")]).await;
    assert_eq!((client.reset[&other], client.reset[&none]), (3, 1));
    let (_, data) = pair(&mut client, "80", "7").await;
    client.data(data, b"!", true).await;
    assert_eq!(client.until_ended(data).await, b"pod!");
}
