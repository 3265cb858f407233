//! SIGKILL at any moment loses nothing: a client that only tries again gets there, and nothing is doubled or left.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use cofferdam_e2e::{Kind, daemon, sleeper};
use cofferdam_test_support::{Crictl, Output, PATIENCE, PodSpec, image, needs};

/// For one call that is tried over and over.
const LIMIT: Duration = PATIENCE;
/// A fast machine is done with these pods before the daemon was killed often enough, so it gets more of them,
const PODS: u32 = 12;
const KILLS: u32 = 11;
/// and a slow one is not asked for more than these.
const MOST_PODS: u32 = 200;

/// As kubelet does: again, until it succeeds.
fn until_done(what: &str, mut call: impl FnMut() -> Result<Output>) -> Result<String> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let output = call()?;
        if output.code == 0 {
            return output.ok();
        }
        if Instant::now() > deadline {
            bail!("{what}: not within {LIMIT:?}: {}", output.stderr);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn lives(crictl: &Crictl, number: u32) -> Result<()> {
    let pod = PodSpec::new("default", &format!("pod-{number}")).handler("namespace");
    let sandbox = until_done("runp", || crictl.try_run_pod(&pod))?.trim().to_owned();
    let container = until_done("create", || crictl.try_create(&sandbox, &sleeper("main"), &pod))?.trim().to_owned();
    let running = |output: &Output| output.stdout.contains("CONTAINER_RUNNING");
    until_done("start", || {
        // A start that the daemon did not live to answer has happened, and a second one says so.
        let _ = crictl.run(&["start", &container])?;
        let mut seen = crictl.run(&["inspect", &container])?;
        seen.code = i32::from(!running(&seen));
        Ok(seen)
    })?;
    let same = until_done("runp again", || crictl.try_run_pod(&pod))?;
    if same.trim() != sandbox {
        bail!("a retry made another sandbox: {same} and {sandbox}");
    }
    until_done("stopp", || crictl.run(&["stopp", &sandbox]))?;
    until_done("rmp", || {
        // crictl asks for the status first, and what is gone has none.
        let mut removed = crictl.run(&["rmp", &sandbox])?;
        if removed.stderr.contains("NotFound") {
            removed.code = 0;
        }
        Ok(removed)
    })?;
    Ok(())
}

#[needs(root)]
#[test]
fn a_daemon_that_is_killed_over_and_over_loses_nothing() -> Result<()> {
    let mut daemon = daemon("chaos", Kind::Namespace)?.start()?;
    let clean = daemon.snapshot()?;
    let crictl = daemon.crictl();
    crictl.pull(&image("busybox"))?;
    let kills = Arc::new(AtomicU32::new(0));
    let client = std::thread::spawn({
        let kills = Arc::clone(&kills);
        move || {
            let wanted = |number: &u32| *number < PODS || kills.load(Ordering::Relaxed) < KILLS;
            (0..MOST_PODS).take_while(wanted).try_for_each(|number| lives(&crictl, number))
        }
    });
    // Moments that have nothing to do with what goes on: 40 to 400 ms, from a fixed sequence.
    let mut random: u64 = 0x5eed;
    while !client.is_finished() {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        std::thread::sleep(Duration::from_millis(40 + (random >> 33) % 360));
        daemon.kill9_and_restart()?;
        kills.fetch_add(1, Ordering::Relaxed);
    }
    client.join().unwrap_or_else(|_| bail!("the client panicked"))?;
    let kills = kills.load(Ordering::Relaxed);
    assert!(kills >= KILLS, "only {kills} kills in the time of {MOST_PODS} pods");
    let pods = daemon.crictl().json(&["pods"])?;
    assert_eq!(pods["items"].as_array().map(Vec::len), Some(0), "{pods}");
    daemon.wait_clean(&clean)
}
