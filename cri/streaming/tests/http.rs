//! What gets a connection upgraded, and what does not.

mod support;

use cofferdam_streaming::{PortForwardRequest, StartError, StreamServer};
use support::{Backend, Client, UPGRADE, exec, request, start};
use tokio::io::AsyncReadExt;

#[tokio::test]
async fn it_listens_on_loopback_only_and_its_urls_say_so() {
    let (server, _) = start().await;
    assert_eq!(server.address().ip(), std::net::Ipv4Addr::LOCALHOST);
    let url = server.exec_url(exec(&["exit", "0"], "e")).unwrap();
    let rest = url.strip_prefix(&format!("http://127.0.0.1:{}/exec/", server.address().port())).unwrap();
    assert!(rest.len() == 40 && rest.bytes().all(|b| b.is_ascii_hexdigit()), "{rest}");
    let backend = std::sync::Arc::new(Backend(tokio::sync::mpsc::unbounded_channel().0));
    let refused = StreamServer::start_on("0.0.0.0:0".parse().unwrap(), backend).await;
    assert!(matches!(refused, Err(StartError::NotLoopback(_))));
}

#[tokio::test]
async fn a_token_is_good_for_one_upgrade_of_its_kind() {
    let (server, _) = start().await;
    let url = server.exec_url(exec(&["sleep"], "o")).unwrap();
    let (_, head, _) = request(&url.replace("/exec/", "/attach/"), UPGRADE).await;
    assert!(head.starts_with("HTTP/1.1 404"), "{head}");
    let _client = Client::connect(&url, None).await;
    let (_, head, _) = request(&url, UPGRADE).await;
    assert!(head.starts_with("HTTP/1.1 404"), "{head}");
    let (_, head, _) = request(&format!("http://{}/exec/0123", server.address()), UPGRADE).await;
    assert!(head.starts_with("HTTP/1.1 404"), "{head}");
}

#[tokio::test]
async fn other_upgrades_are_refused_by_name_and_leave_the_token_good() {
    let (server, _) = start().await;
    let url = server.exec_url(exec(&["sleep"], "o")).unwrap();
    let (_, head, _) = request(&url, "").await;
    assert!(head.starts_with("HTTP/1.1 400"), "{head}");
    let (mut tcp, head, mut body) = request(&url, "Connection: Upgrade\r\nUpgrade: websocket\r\n").await;
    assert!(head.starts_with("HTTP/1.1 400"), "{head}");
    tcp.read_buf(&mut body).await.unwrap();
    assert!(String::from_utf8_lossy(&body).contains("WebSocket"), "{body:?}");
    let (_, head, _) = request(&url, &format!("{UPGRADE}X-Stream-Protocol-Version: v9.channel.k8s.io\r\n")).await;
    assert!(head.starts_with("HTTP/1.1 403") && head.contains("v4.channel.k8s.io"), "{head}");
    let (_, head, _) =
        request(&url, &format!("{UPGRADE}X-Stream-Protocol-Version: v5.channel.k8s.io, v3.channel.k8s.io\r\n")).await;
    assert!(head.starts_with("HTTP/1.1 101") && head.contains("v3.channel.k8s.io"), "{head}");
}

#[tokio::test]
async fn requests_that_wait_are_bounded_in_number() {
    let (server, _) = start().await;
    let ask = || server.port_forward_url(PortForwardRequest { sandbox_id: "s".into(), ports: vec![] });
    assert!((0..1000).all(|_| ask().is_ok()));
    assert!(ask().is_err());
}

#[tokio::test]
async fn its_connections_end_with_it() {
    let (server, mut events) = start().await;
    let mut client = Client::connect(&server.exec_url(exec(&["sleep"], "o")).unwrap(), None).await;
    client.open(&[("streamtype", "error")]).await;
    client.open(&[("streamtype", "stdout")]).await;
    assert_eq!(events.recv().await, Some("sleeping"));
    let address = server.address();
    drop(server);
    assert_eq!(events.recv().await, Some("ended"));
    assert!(client.next().await.is_none());
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}
