//! Strict tenants do not meet: not by what the kernel quotes, not by what it answers.

use anyhow::{Result, ensure};
use cofferdam_e2e::{Kind, daemon};
use cofferdam_hostile::{Hostile, hostile};
use cofferdam_test_support::{Daemon, PodSpec, needs};

fn strict(daemon: &Daemon) -> Result<()> {
    for name in ["mallory", "alice"] {
        daemon.cluster().tenant(name, "network: {isolation: Strict}")?;
        daemon.cluster().namespace(name, Some(name))?;
    }
    Ok(())
}

/// The first IPv6 address of a pod.
fn address6(daemon: &Daemon, pod: &Hostile) -> Result<String> {
    let status = daemon.crictl().inspect_pod(&pod.running.sandbox)?["status"]["network"].clone();
    let all = [status["additionalIps"].as_array(), status["additional_ips"].as_array()];
    let found = all.into_iter().flatten().flatten().filter_map(|one| one["ip"].as_str()).find(|ip| ip.contains(':'));
    found.map(str::to_owned).ok_or_else(|| anyhow::anyhow!("no IPv6 address in {status}"))
}

/// A packet in the other tenant's name makes the node answer to that one, and quote what the sender chose.
#[needs(root)]
#[test]
fn nothing_that_the_node_quotes_reaches_another_tenant() -> Result<()> {
    let mut daemon = daemon("quotes", Kind::Namespace)?.prepare()?;
    strict(&daemon)?;
    daemon.start()?;
    let mallory = hostile(&daemon, Kind::Namespace, PodSpec::new("mallory", "sender"), |_| ())?;
    let alice = hostile(&daemon, Kind::Namespace, PodSpec::new("alice", "receiver"), |_| ())?;
    let (to, own) = (address6(&daemon, &alice)?, address6(&daemon, &mallory)?);
    std::thread::scope(|scope| {
        let listens = scope.spawn(|| alice.attempt(&daemon, &["listen6", "8"]));
        // Sent again and again, so that it does not matter when the other one begins to listen.
        for _ in 0..12 {
            for (destination, hops) in
                [("2001:db8:100::10", "1"), (own.as_str(), "1"), ("2001:db8:dead::1", "64"), ("fd88::fffe", "64")]
            {
                let _ = mallory.attempt(&daemon, &["spoof6", &to, destination, hops])?;
            }
        }
        let heard = listens.join().unwrap_or_else(|_| anyhow::bail!("the thread ended"))?;
        ensure!(heard.is_err(), "another tenant's pod got {heard:?}");
        Ok(())
    })
}

/// The answer to a packet that ends at the node is the same for an address that a pod has and for one that none has.
#[needs(root)]
#[test]
fn a_small_ttl_does_not_tell_which_addresses_exist() -> Result<()> {
    let mut daemon = daemon("ttl", Kind::Namespace)?.prepare()?;
    strict(&daemon)?;
    daemon.start()?;
    let mallory = hostile(&daemon, Kind::Namespace, PodSpec::new("mallory", "prober"), |_| ())?;
    let alice = hostile(&daemon, Kind::Namespace, PodSpec::new("alice", "target"), |_| ())?;
    let there = alice.running.ip(&daemon)?;
    let absent = format!("{}.200", there.rsplit_once('.').map_or("", |(net, _)| net));
    for ttl in ["1", "2", "64"] {
        let (one, other) =
            (mallory.attempt(&daemon, &["ttl", &there, ttl])?, mallory.attempt(&daemon, &["ttl", &absent, ttl])?);
        ensure!(one.is_ok() == other.is_ok(), "ttl {ttl}: {there} {one:?}, {absent} {other:?}");
    }
    Ok(())
}
