//! The support itself: what it makes works, what is left behind is seen, and it cleans up after itself.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use cofferdam_test_support::{
    Cgroup, Daemon, HttpServer, Netns, OUTSIDE_V4, OUTSIDE_V6, UPLINK_V4, cgroup_dirs, http_get, needs,
};

#[needs(root)]
#[test]
fn a_host_reaches_outside_by_both_families() -> Result<()> {
    let daemon = Daemon::builder("outside").prepare()?;
    for address in [format!("{OUTSIDE_V4}:80"), format!("[{OUTSIDE_V6}]:80")] {
        let address: SocketAddr = address.parse()?;
        let server = HttpServer::start(&daemon.host().outside, address)?;
        let answer = http_get(&daemon.host().host, address, "/", Duration::from_secs(5))?;
        assert_eq!(answer.trim(), server.peers()[0].ip().to_string());
        if address.is_ipv4() {
            assert_eq!(answer.trim(), UPLINK_V4);
        }
    }
    Ok(())
}

#[needs(root)]
#[test]
fn the_registry_serves_the_test_images_in_the_host_namespace() -> Result<()> {
    let mut daemon = Daemon::builder("registry").prepare()?;
    let get = |daemon: &Daemon, path: &str| {
        http_get(&daemon.host().host, SocketAddr::from(([127, 0, 0, 1], 5000)), path, Duration::from_secs(5))
    };
    assert!(get(&daemon, "/v2/_catalog")?.contains("test/busybox"));
    daemon.stop_registry();
    assert!(get(&daemon, "/v2/_catalog").is_err());
    Ok(())
}

#[needs(root)]
#[test]
fn each_kind_of_leak_is_seen() -> Result<()> {
    let daemon = Daemon::builder("leaks").prepare()?;
    let before = daemon.snapshot()?;
    assert!(daemon.snapshot()?.added_since(&before).is_empty());

    let host = &daemon.host().host;
    let mut process = host.command().args(["sleep", "60"]).spawn()?;
    let extra = Netns::create(&daemon.dir().join("leaked-netns"))?;
    host.ip("link add leaked type veth peer name leaked-peer")?;
    host.ip("route add blackhole 10.99.0.0/16")?;
    host.nft(&["add", "table", "inet", "leaked"])?;
    let cgroup = Cgroup::create(&format!("{}/leaked", daemon.cgroup_root()))?;
    fs::create_dir_all(daemon.state().join("leaked"))?;

    let mut found = Vec::new();
    for _ in 0..100 {
        found = daemon.snapshot()?.added_since(&before);
        if found.iter().any(|line| line.contains("sleep 60")) {
            break;
        }
    }
    for wanted in ["process", "mount", "link", "route", "nft table", "cgroup", "state file"] {
        assert!(found.iter().any(|line| line.starts_with(&format!("{wanted}: "))), "{wanted} is not in {found:#?}");
    }
    process.kill()?;
    process.wait()?;
    drop((extra, cgroup));
    Ok(())
}

#[needs(root)]
#[test]
fn dropping_ends_whatever_was_left() -> Result<()> {
    let daemon = Daemon::builder("drop").prepare()?;
    let (dir, root) = (daemon.dir().to_owned(), daemon.cgroup_root().to_owned());
    let mut inside = daemon.host().host.command().args(["sleep", "1000"]).spawn()?;
    let cgroup = Cgroup::create(&format!("{root}/pod/main"))?;
    let mut limited = Command::new("sleep").arg("1000").spawn()?;
    for dir in cgroup_dirs(cgroup.path())? {
        fs::write(dir.join("cgroup.procs"), limited.id().to_string())?;
    }
    std::mem::forget(cgroup);
    let mount = daemon.state().join("mounted");
    fs::create_dir_all(&mount)?;
    let mount = mount.display().to_string();
    assert!(Command::new("mount").args(["-t", "tmpfs", "tmpfs", &mount]).status()?.success());

    drop(daemon);
    assert!(!inside.wait()?.success(), "killed, not ended");
    assert!(!limited.wait()?.success(), "killed, not ended");
    assert!(!dir.exists());
    assert!(!fs::read_to_string("/proc/self/mountinfo")?.contains(&*dir.to_string_lossy()));
    assert!(cgroup_dirs(&root)?.is_empty(), "the cgroup is left");
    Ok(())
}

#[needs(root)]
#[test]
fn a_power_cut_leaves_the_root_directory_only() -> Result<()> {
    let mut daemon = Daemon::builder("power").root_size("16m").shared_mounts().prepare()?;
    let dir = daemon.dir().to_owned();
    fs::write(daemon.root().join("kept"), "x")?;
    fs::create_dir_all(daemon.state().join("lost"))?;
    daemon.host().host.ip("link add lost type veth peer name lost-peer")?;
    daemon.lose_power()?;
    assert!(daemon.root().join("kept").exists());
    assert!(!daemon.state().exists());
    assert!(!daemon.host().host.links()?.contains(&"lost".to_owned()));
    drop(daemon);
    assert!(!dir.exists());
    assert!(!fs::read_to_string("/proc/self/mountinfo")?.contains(&*dir.to_string_lossy()));
    Ok(())
}
