//! System calls: what the default profile keeps from a container, however it is spelled.

use anyhow::{Result, ensure};
use cofferdam_e2e::{Kind, daemon};
use cofferdam_hostile::hostile;
use cofferdam_test_support::{PodSpec, needs};
use serde_json::json;

const EPERM: &str = "errno 1";
const EAFNOSUPPORT: &str = "errno 97";
const ENOSYS: &str = "errno 38";

#[needs(root)]
#[test]
fn socket_families_of_the_host_are_refused_however_they_are_spelled() -> Result<()> {
    let daemon = daemon("families", Kind::Namespace)?.start()?;
    let pod = hostile(&daemon, Kind::Namespace, PodSpec::new("default", "families"), |config| {
        config["linux"]["security_context"]["seccomp"] = json!({"profile_type": 0});
    })?;
    // 40 is AF_VSOCK. The kernel takes the low 32 bits of what is an int.
    for words in [
        ["syscall", "41", "40", "1"].as_slice(),
        &["syscall", "41", "0xffffffff00000028", "1"],
        &["syscall", "41", "0x100000028", "1"],
        &["socketcall", "40"],
    ] {
        let answer = pod.attempt(&daemon, words)?;
        let refused = |text: &String| text.ends_with(EPERM) || text.ends_with(EAFNOSUPPORT) || text.ends_with(ENOSYS);
        ensure!(answer.as_ref().err().is_some_and(refused), "{words:?}: {answer:?}");
    }
    let inet = pod.attempt(&daemon, &["syscall", "41", "2", "1"])?;
    ensure!(inet.is_ok(), "AF_INET: {inet:?}");
    Ok(())
}

/// libc falls back to an older call only when the newer one is unknown.
#[needs(root)]
#[test]
fn calls_that_are_newer_than_the_profile_are_unknown_not_forbidden() -> Result<()> {
    let daemon = daemon("newer", Kind::Namespace)?.start()?;
    let pod = hostile(&daemon, Kind::Namespace, PodSpec::new("default", "newer"), |config| {
        config["linux"]["security_context"]["seccomp"] = json!({"profile_type": 0});
    })?;
    for number in ["480", "511", "600", "1000"] {
        let answer = pod.attempt(&daemon, &["syscall", number])?;
        ensure!(answer.as_ref().err().is_some_and(|text| text.ends_with(ENOSYS)), "{number}: {answer:?}");
    }
    Ok(())
}
