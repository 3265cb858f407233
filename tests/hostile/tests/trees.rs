//! What a tenant leaves on disk, however deep or wide, stops neither the daemon nor its next start.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use cofferdam_e2e::{Kind, daemon, run, sleeper};
use cofferdam_hostile::hostile;
use cofferdam_test_support::{PodSpec, eventually, needs};

/// Deeper than any path can be, and than any stack.
const DEPTH: &str = "20000";

#[needs(root)]
#[test]
fn deep_and_wide_trees_of_a_container_are_removed_and_survive_a_restart() -> Result<()> {
    let mut daemon = daemon("trees", Kind::Namespace)?.start()?;
    let clean = daemon.snapshot()?;
    let mut pods = Vec::new();
    for name in ["removed", "killed"] {
        let pod = hostile(&daemon, Kind::Namespace, PodSpec::new("default", name), |_| ())?;
        for words in [["nested", "/tmp", DEPTH], ["wide", "/root", "3000"]] {
            // The directories may not be in the image.
            daemon.crictl().exec(&pod.running.container, &["mkdir", "-p", words[1]])?;
            let answer = pod.attempt(&daemon, &words)?;
            ensure!(answer.is_ok(), "{words:?}: {answer:?}");
        }
        pods.push(pod);
    }
    daemon.crictl().ok(&["statsp"])?;
    daemon.crictl().remove_pod(&pods[0].running.sandbox)?;
    // The other one's tree is met by a daemon that starts, and by one that starts right after a removal.
    daemon.kill9_and_restart()?;
    daemon.crictl().remove_pod(&pods[1].running.sandbox)?;
    daemon.kill9_and_restart()?;
    run(&daemon, PodSpec::new("default", "neighbour"), &sleeper("main"))?;
    let sandbox = daemon.crictl().ok(&["pods", "-q"])?;
    daemon.crictl().remove_pod(sandbox.trim())?;
    daemon.wait_clean(&clean)?;
    let root = daemon.root();
    eventually("nothing of the trees is on disk", || Ok(!has_name(&root, "d")?))
}

/// Whether a directory of this name is below, not looking below those that have it.
fn has_name(dir: &Path, name: &str) -> Result<bool> {
    let listed = cofferdam_test_support::output_of(
        "find",
        [&dir.display().to_string(), "-type", "d", "-name", name, "-prune", "-print", "-quit"],
    )?;
    ensure!(fs::metadata(dir)?.is_dir());
    Ok(!listed.stdout.trim().is_empty())
}
