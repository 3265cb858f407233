//! Processes that are there and do nothing more: they are waited for, but not for ever, and nobody else waits with
//! them.

use anyhow::{Context as _, Result};
use cofferdam_e2e::{Kind, Running, daemon, run, sleeper};
use cofferdam_test_support::{Daemon, PodSpec, eventually, needs, signal};
use rustix::process::Signal;

/// A pod of this kind with one of its processes stopped, another pod beside it.
fn hung(daemon: &Daemon, kind: Kind, part: &str) -> Result<[Running; 2]> {
    let pod = run(daemon, PodSpec::new("default", "hung").handler(kind.handler()), &sleeper("main"))?;
    let other = run(daemon, PodSpec::new("default", "other").handler("namespace"), &sleeper("main"))?;
    signal(pod.pid(daemon, part)?, Signal::STOP)?;
    Ok([pod, other])
}

/// The message of its container, which was killed, and the reason of the pod.
fn told(daemon: &Daemon, pod: &Running) -> Result<[String; 2]> {
    let status = daemon.crictl().inspect(&pod.container)?["status"].clone();
    assert_eq!((&status["exitCode"], &status["reason"]), (&137.into(), &"Error".into()), "{status}");
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned).context("no text");
    Ok([text(&status["message"])?, text(&pod.facts(daemon)?["reason"])?])
}

/// Asked to stop; asked by the next daemon; not even that before it was to be stopped.
const SHIM: &[&str] = &["its shim did not end", "its shim could not be reached", "its shim had not answered"];

fn a_hung_part(kind: Kind, part: &str, reasons: &[&str]) -> Result<()> {
    let mut daemon = daemon(&format!("hung-{}", part.to_lowercase()), kind)?.start()?;
    let clean = daemon.snapshot()?;
    let crictl = daemon.crictl();
    for restart in [false, true] {
        let [pod, other] = hung(&daemon, kind, part)?;
        if restart {
            daemon.kill9_and_restart()?;
        }
        assert_eq!(crictl.exec(&other.container, &["echo", "here"])?, "here\n");
        crictl.ok(&["statsp"])?;
        crictl.remove_pod(&other.sandbox)?;
        crictl.ok(&["stopp", &pod.sandbox])?;
        assert_eq!(crictl.pod_state(&pod.sandbox)?, "SANDBOX_NOTREADY");
        for text in told(&daemon, &pod)? {
            assert!(reasons.iter().any(|reason| text.contains(reason)), "restart {restart}: {text:?}");
        }
        crictl.ok(&["rmp", &pod.sandbox])?;
        daemon.wait_clean(&clean)?;
    }
    Ok(())
}

#[needs(root)]
#[test]
fn a_vm_whose_vmm_does_nothing() -> Result<()> {
    a_hung_part(Kind::Vm, "vmmPid", &["the guest did not stop"])
}

#[needs(root)]
#[test]
fn a_vm_whose_shim_does_nothing() -> Result<()> {
    a_hung_part(Kind::Vm, "shimPid", SHIM)
}

#[needs(root)]
#[test]
fn a_namespace_pod_whose_shim_does_nothing() -> Result<()> {
    a_hung_part(Kind::Namespace, "shimPid", SHIM)
}

/// StopContainer and RemoveContainer, as kubelet calls them before it stops the pod.
#[needs(root)]
#[test]
fn a_container_in_a_vm_whose_vmm_does_nothing() -> Result<()> {
    let daemon = daemon("hung-container", Kind::Vm)?.start()?;
    let clean = daemon.snapshot()?;
    let crictl = daemon.crictl();
    let [pod, other] = hung(&daemon, Kind::Vm, "vmmPid")?;
    crictl.ok(&["stop", "--timeout", "1", &pod.container])?;
    eventually("the end of the pod", || Ok(crictl.pod_state(&pod.sandbox)? == "SANDBOX_NOTREADY"))?;
    for text in told(&daemon, &pod)? {
        assert!(text.contains("did not answer"), "{text:?}");
    }
    crictl.ok(&["rm", &pod.container])?;
    for pod in [pod, other] {
        crictl.remove_pod(&pod.sandbox)?;
    }
    daemon.wait_clean(&clean)
}
