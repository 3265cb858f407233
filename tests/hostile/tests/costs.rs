//! What one tenant's objects and images cost does not stop another's pods.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use cofferdam_e2e::{Kind, daemon, run, sleeper};
use cofferdam_test_support::{PodSpec, needs};

/// Far above what a busy machine needs; the fault took 39 s in a release build.
const BOUND: Duration = Duration::from_secs(20);

/// 200 ports and 200 peers: 13 kB that were 40,000 rules.
fn broad() -> Result<String> {
    let mut yaml = String::from(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: broad, namespace: mallory}\n\
         spec:\n  podSelector: {}\n  ingress:\n  - ports:\n",
    );
    for port in 0..200 {
        writeln!(yaml, "    - {{port: {}}}", 1000 + 2 * port)?;
    }
    yaml.push_str("    from:\n");
    for block in 0..200 {
        writeln!(yaml, "    - ipBlock: {{cidr: 203.0.{}.{}/32}}", block / 100, block % 100)?;
    }
    Ok(yaml)
}

#[needs(root)]
#[test]
fn a_policy_of_many_ports_and_peers_delays_nobody() -> Result<()> {
    let mut daemon = daemon("broad", Kind::Namespace)?.prepare()?;
    for name in ["mallory", "alice"] {
        daemon.cluster().tenant(name, "network: {isolation: Strict}")?;
        daemon.cluster().namespace(name, Some(name))?;
    }
    daemon.start()?;
    run(&daemon, PodSpec::new("mallory", "victim"), &sleeper("main"))?;
    daemon.cluster().write("broad", &broad()?)?;
    let crictl = daemon.crictl();
    for number in 0..5 {
        let began = Instant::now();
        let pod = run(&daemon, PodSpec::new("alice", &format!("pod-{number}")), &sleeper("main"))?;
        crictl.ok(&["pods"])?;
        crictl.ok(&["info"])?;
        ensure!(began.elapsed() < BOUND, "a pod of another tenant took {:?}", began.elapsed());
        crictl.run(&["rmp", "-f", &pod.sandbox])?;
    }
    Ok(())
}
