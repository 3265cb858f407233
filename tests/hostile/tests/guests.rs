//! A guest that does not answer ends within the time that its pod was given.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use cofferdam_e2e::{Kind, Running, daemon, run, sleeper};
use cofferdam_test_support::{Daemon, PodSpec, needs, signal};
use rustix::process::Signal;

/// The promise is the grace and ten seconds; the rest is for a busy machine. Without a deadline it was for ever.
const BOUND: Duration = Duration::from_secs(60);

fn hung(daemon: &Daemon, name: &str) -> Result<Running> {
    let pod = run(daemon, PodSpec::new("default", name).handler("vm"), &sleeper("main"))?;
    signal(pod.pid(daemon, "vmmPid")?, Signal::STOP)?;
    Ok(pod)
}

fn within<T>(what: &str, act: impl FnOnce() -> Result<T>) -> Result<T> {
    let began = Instant::now();
    let done = act()?;
    ensure!(began.elapsed() < BOUND, "{what} took {:?}", began.elapsed());
    Ok(done)
}

#[needs(root)]
#[test]
fn a_stopped_vmm_ends_by_the_calls_that_stop_and_its_neighbours_do_not_wait() -> Result<()> {
    let daemon = daemon("hung", Kind::Vm)?.start()?;
    let crictl = daemon.crictl();
    let clean = daemon.snapshot()?;
    let pod = hung(&daemon, "hung")?;
    let neighbour = run(&daemon, PodSpec::new("default", "neighbour"), &sleeper("main"))?;
    std::thread::scope(|scope| {
        let stop = scope.spawn(|| within("StopContainer", || crictl.run(&["stop", "-t", "2", &pod.container])));
        let other = within("exec beside it", || crictl.exec(&neighbour.container, &["true"]));
        let listed = within("list beside it", || crictl.ok(&["ps", "-a"]));
        stop.join().unwrap_or_else(|_| anyhow::bail!("the thread ended"))?;
        other.and(listed)
    })?;
    within("StopPodSandbox", || crictl.ok(&["stopp", &pod.sandbox]))?;
    let status = crictl.inspect(&pod.container)?["status"].clone();
    ensure!(status["state"] == "CONTAINER_EXITED", "{status}");
    ensure!(status["reason"] != "Completed", "status does not say that it was killed: {status}");
    within("RemovePodSandbox", || crictl.ok(&["rmp", &pod.sandbox]))?;
    crictl.remove_pod(&neighbour.sandbox)?;
    daemon.wait_clean(&clean)
}

#[needs(root)]
#[test]
fn a_daemon_that_starts_beside_a_stopped_vmm_serves_and_ends_it() -> Result<()> {
    let mut daemon = daemon("hung-restart", Kind::Vm)?.start()?;
    let clean = daemon.snapshot()?;
    let pod = hung(&daemon, "hung")?;
    daemon.kill9()?;
    within("start of the daemon", || daemon.start())?;
    let crictl = daemon.crictl();
    within("StopPodSandbox", || crictl.ok(&["stopp", &pod.sandbox]))?;
    within("RemovePodSandbox", || crictl.ok(&["rmp", &pod.sandbox]))?;
    daemon.wait_clean(&clean)
}
