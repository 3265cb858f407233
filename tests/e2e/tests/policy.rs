//! Traffic between pods: policies, tenants, and that nothing opens in between.

use std::time::Duration;

use anyhow::Result;
use cofferdam_e2e::{Kind, Reach, Running, daemon, matrix, reach, run, sleeper, web};
use cofferdam_test_support::{Daemon, HttpServer, OUTSIDE_V4, PodSpec, eventually, needs};
use serde_json::Value;

const ONLY_CLIENTS: &str = "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: only-clients, namespace: acme}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
  - from: [{podSelector: {matchLabels: {role: client}}}]
    ports: [{port: 80}]
";

/// `acme` with a web server, a client and a stranger; `blue` with a web server and a client.
fn two_tenants(daemon: &Daemon) -> Result<Vec<(&'static str, Running)>> {
    let pod = |namespace: &str, name: &str| PodSpec::new(namespace, name).label("app", name).label("role", name);
    Ok(vec![
        ("acme/web", run(daemon, pod("acme", "web"), &web("main"))?),
        ("acme/client", run(daemon, pod("acme", "client"), &web("main"))?),
        ("acme/stranger", run(daemon, pod("acme", "stranger"), &web("main"))?),
        ("blue/web", run(daemon, pod("blue", "web"), &web("main"))?),
        ("blue/client", run(daemon, pod("blue", "client"), &web("main"))?),
    ])
}

fn tenants(daemon: &Daemon) -> Result<()> {
    for name in ["acme", "blue"] {
        daemon.cluster().tenant(name, "network: {isolation: Strict}")?;
        daemon.cluster().namespace(name, Some(name))?;
    }
    Ok(())
}

#[needs(root)]
#[test]
fn policies_take_effect_live_and_tenants_never_meet() -> Result<()> {
    let mut daemon = daemon("matrix", Kind::Namespace)?.prepare()?;
    tenants(&daemon)?;
    daemon.start()?;
    let pods = two_tenants(&daemon)?;
    let pods: Vec<(&str, &Running)> = pods.iter().map(|(name, pod)| (*name, pod)).collect();
    let within = |a: &str, b: &str| vec![format!("{a} -> {b}"), format!("{b} -> {a}")];
    let mut open: Vec<String> = [
        ("acme/web", "acme/client"),
        ("acme/web", "acme/stranger"),
        ("acme/client", "acme/stranger"),
        ("blue/web", "blue/client"),
    ]
    .iter()
    .flat_map(|(a, b)| within(a, b))
    .collect();
    let seen = |daemon: &Daemon| -> Result<Vec<String>> {
        let mut seen = matrix(daemon, &pods, 80)?;
        seen.sort();
        Ok(seen)
    };
    open.sort();
    assert_eq!(seen(&daemon)?, open, "before the policy");

    daemon.cluster().write("policy", ONLY_CLIENTS)?;
    let (stranger, server) = (pods[2].1, pods[0].1.ip(&daemon)?);
    eventually("the policy is in force", || Ok(reach(&daemon, stranger, &server, 80)? == Reach::No))?;
    open.retain(|pair| pair != "acme/stranger -> acme/web");
    assert_eq!(seen(&daemon)?, open, "with the policy");
    assert_eq!(reach(&daemon, pods[1].1, &server, 8080)?, Reach::No, "the policy names one port");

    explained(&daemon, "acme/client", "acme/web", "Allow", "NetworkPolicy acme/only-clients")?;
    explained(&daemon, "acme/stranger", "acme/web", "Deny", "NetworkPolicy acme/only-clients")?;
    explained(&daemon, "blue/client", "acme/web", "Deny", "tenant acme")?;

    // Killed and flushed: what was denied stays denied, what was allowed goes on once the daemon is back.
    daemon.kill9()?;
    daemon.host().host.nft(&["flush", "ruleset"])?;
    daemon.start()?;
    assert_eq!(seen(&daemon)?, open, "after a restart");

    daemon.cluster().remove("policy")?;
    eventually("the policy is gone", || Ok(reach(&daemon, stranger, &server, 80)? == Reach::Yes))
}

fn explained(daemon: &Daemon, from: &str, to: &str, verdict: &str, rule: &str) -> Result<()> {
    let args = ["policy", "explain", "--from", from, "--to", to, "--port", "TCP/80", "-o", "json"];
    let answer: Value = serde_json::from_str(&daemon.cli(&args)?.ok()?)?;
    assert_eq!(answer["verdict"], verdict, "{answer}");
    assert!(answer["ingress"]["rule"].as_str().unwrap_or_default().contains(rule), "{answer}");
    Ok(())
}

#[needs(root)]
#[test]
fn between_kill_and_restart_a_flush_opens_nothing() -> Result<()> {
    let mut daemon = daemon("flush", Kind::Namespace)?.prepare()?;
    tenants(&daemon)?;
    daemon.start()?;
    let server = run(&daemon, PodSpec::new("acme", "web"), &web("main"))?;
    // It tries for ever, and writes down every success: no daemon is needed to see what got through.
    let try_for_ever = format!(
        "while :; do timeout 1 wget -q -O - http://{}/ >/dev/null 2>&1 && echo leaked; done",
        server.ip(&daemon)?
    );
    let client = sleeper("main").shell(&try_for_ever);
    let client = run(&daemon, PodSpec::new("blue", "client"), &client)?;
    let log_path = daemon.crictl().log_file(&client.spec, "main");
    let log = || std::fs::read_to_string(&log_path).unwrap_or_default();
    let holder: Value = serde_json::from_str(&daemon.cli(&["status", "-o", "json"])?.ok()?)?;
    assert!(holder["holderPid"].as_u64().is_some_and(|pid| pid != 0), "{holder}");
    let held = |daemon: &Daemon| daemon.host().host.nft(&["list", "tables"]);
    assert!(held(&daemon)?.contains("inet cofferdam"));
    assert!(!log().contains("leaked"), "{}", log());
    daemon.kill9()?;
    daemon.host().host.nft(&["flush", "ruleset"])?;
    assert!(held(&daemon)?.contains("inet cofferdam"), "the table is the holder's");
    // Time to leak in: a slow machine tries less often, and what it finds is no less true.
    std::thread::sleep(Duration::from_secs(3));
    assert!(!log().contains("leaked"), "the flush opened something");
    daemon.start()
}

#[needs(root)]
#[test]
fn strict_reaches_nothing_outside_and_open_does() -> Result<()> {
    let mut daemon = daemon("outside", Kind::Namespace)?.prepare()?;
    tenants(&daemon)?;
    daemon.cluster().tenant("open", "network: {isolation: Open}")?;
    daemon.cluster().namespace("open", Some("open"))?;
    daemon.start()?;
    let outside = HttpServer::start(&daemon.host().outside, format!("{OUTSIDE_V4}:80").parse()?)?;
    let node = HttpServer::start(&daemon.host().host, "0.0.0.0:8088".parse()?)?;
    let strict = run(&daemon, PodSpec::new("acme", "client"), &web("main"))?;
    let open = run(&daemon, PodSpec::new("open", "client"), &web("main"))?;
    assert_eq!(reach(&daemon, &strict, OUTSIDE_V4, 80)?, Reach::No);
    assert_eq!(reach(&daemon, &open, OUTSIDE_V4, 80)?, Reach::Yes);
    // It left with the node's address: outside has no route to a pod.
    assert_eq!(outside.peers()[0].ip().to_string(), cofferdam_test_support::UPLINK_V4);
    for (pod, port) in [(&strict, 8088), (&open, 8088)] {
        assert_eq!(reach(&daemon, pod, cofferdam_test_support::UPLINK_V4, port)?, Reach::No, "the node is nobody's");
    }
    assert!(node.peers().is_empty());
    assert_eq!(reach(&daemon, &open, &strict.ip(&daemon)?, 80)?, Reach::No, "Open opens no tenant");
    Ok(())
}

#[needs(root)]
#[test]
fn tenants_meet_where_both_sides_say_so() -> Result<()> {
    let mut daemon = daemon("cross", Kind::Namespace)?.prepare()?;
    tenants(&daemon)?;
    daemon.cluster().tenant("acme", "network:\n  allowFrom: [{tenant: blue, ports: [TCP/8080]}]")?;
    daemon.start()?;
    let server = run(&daemon, PodSpec::new("acme", "web"), &web("main"))?;
    let client = run(&daemon, PodSpec::new("blue", "client"), &web("main"))?;
    let ip = server.ip(&daemon)?;
    assert_eq!(reach(&daemon, &client, &ip, 8080)?, Reach::No, "the source has not said so");
    daemon.cluster().tenant("blue", "network:\n  allowTo: [{tenant: acme}]")?;
    eventually("both sides agree", || Ok(reach(&daemon, &client, &ip, 8080)? == Reach::Yes))?;
    assert_eq!(reach(&daemon, &client, &ip, 80)?, Reach::No, "the destination named one port");
    assert_eq!(reach(&daemon, &server, &client.ip(&daemon)?, 8080)?, Reach::No, "the other way was never allowed");
    Ok(())
}
