//! What a container's set-up follows lies in the container, whatever another one renames meanwhile; and no descriptor
//! or file of the node is to be had.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use cofferdam_e2e::{Kind, daemon, run, sleeper};
use cofferdam_test_support::{Daemon, PodSpec, image, needs};
use serde_json::json;

/// The node's own `/dev`, as a node agent of a tenant with host access has it: nothing in it is made anew or removed.
#[needs(root)]
#[test]
fn a_bind_at_dev_keeps_what_is_in_it() -> Result<()> {
    let mut daemon = daemon("dev", Kind::Namespace)?.prepare()?;
    daemon.cluster().tenant("open", "hostAccess: Allowed")?;
    daemon.cluster().namespace("open", Some("open"))?;
    daemon.start()?;
    let crictl = daemon.crictl();
    crictl.pull(&image("busybox"))?;
    // A stand-in for the node's: the same kinds of entries, so that a fault costs the machine nothing.
    let dev = daemon.dir().join("dev");
    fs::create_dir_all(dev.join("shm"))?;
    for (name, minor) in [("null", "3"), ("zero", "5"), ("full", "7"), ("random", "8"), ("urandom", "9")] {
        cofferdam_test_support::run("mknod", [&dev.join(name).display().to_string(), "c", "1", minor])?;
    }
    fs::write(dev.join("shm/of-the-node"), "")?;
    std::os::unix::fs::symlink("/proc/self/fd", dev.join("fd"))?;
    let before = listing(&dev)?;
    let container = sleeper("main").with(|config| {
        config["mounts"] = json!([{"container_path": "/dev", "host_path": dev}]);
    });
    let pod = run(&daemon, PodSpec::new("open", "dev"), &container)?;
    let seen = crictl.exec(&pod.container, &["sh", "-c", "echo x >/dev/null && ls /dev"])?;
    crictl.remove_pod(&pod.sandbox)?;
    let after = listing(&dev)?;
    assert_eq!(before, after.iter().filter(|line| before.contains(line)).cloned().collect::<Vec<_>>(), "{seen}");
    Ok(())
}

/// Name, type, mode, device and inode of every entry.
fn listing(dir: &Path) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        let kind = if meta.file_type().is_char_device() { "c" } else { "-" };
        lines.push(format!("{:?} {kind} {:o} {} {}", entry.file_name(), meta.mode(), meta.rdev(), meta.ino()));
    }
    lines.sort();
    Ok(lines)
}

/// What hides a file of `/proc` is the node's own `/dev/null`: root in a container must not change its mode.
#[needs(root)]
#[test]
fn what_hides_a_file_is_read_only() -> Result<()> {
    let daemon = daemon("masked", Kind::Namespace)?.start()?;
    let container = sleeper("main").with(|config| {
        config["linux"]["security_context"]["masked_paths"] = json!(["/proc/keys", "/proc/timer_list"]);
    });
    let pod = run(&daemon, PodSpec::new("default", "masked"), &container)?;
    let mounts = daemon.crictl().exec(&pod.container, &["cat", "/proc/self/mountinfo"])?;
    let options = |line: &str| Some((line.split(' ').nth(4)?.to_owned(), line.split(' ').nth(5)?.to_owned()));
    let masks =
        mounts.lines().filter_map(options).filter(|(point, _)| ["/proc/keys", "/proc/timer_list"].contains(&&**point));
    let masks: Vec<_> = masks.collect();
    ensure!(!masks.is_empty() && masks.iter().all(|(_, options)| options.starts_with("ro")), "{masks:?}");
    Ok(())
}

/// Everything that a process holds open, by what the link says.
fn descriptors(pid: u32) -> Result<Vec<String>> {
    let dir = PathBuf::from(format!("/proc/{pid}/fd"));
    let entries = fs::read_dir(&dir).with_context(|| dir.display().to_string())?;
    entries.map(|entry| Ok(fs::read_link(entry?.path())?.display().to_string())).collect()
}

fn a_shim_holds_few_descriptors(kind: Kind) -> Result<()> {
    let daemon = daemon("descriptors", kind)?.start()?;
    let others = (0..4).map(|number| start(&daemon, kind, &format!("other-{number}"))).collect::<Result<Vec<_>>>()?;
    let pod = start(&daemon, kind, "last")?;
    let held = descriptors(pod.pid(&daemon, "shimPid")?)?;
    let foreign: Vec<&String> = held
        .iter()
        .filter(|target| others.iter().any(|other| target.contains(&other.sandbox)) || target.ends_with("state.redb"))
        .collect();
    ensure!(foreign.is_empty(), "a shim holds what belongs to others: {foreign:#?}");
    ensure!(held.len() < 40, "{} descriptors: {held:#?}", held.len());
    Ok(())
}

fn start(daemon: &Daemon, kind: Kind, name: &str) -> Result<cofferdam_e2e::Running> {
    run(daemon, PodSpec::new("default", name).handler(kind.handler()), &sleeper("main"))
}

#[needs(root)]
#[test]
fn a_shim_of_a_namespace_sandbox_holds_few_descriptors() -> Result<()> {
    a_shim_holds_few_descriptors(Kind::Namespace)
}

#[needs(root)]
#[test]
fn a_shim_of_a_vm_holds_few_descriptors() -> Result<()> {
    a_shim_holds_few_descriptors(Kind::Vm)
}

/// Every user of the node may look; what pods are given as environment is not theirs to see.
#[needs(root)]
#[test]
fn the_daemons_directories_are_closed_to_other_users_of_the_node() -> Result<()> {
    let daemon = daemon("secrets", Kind::Namespace)?.start()?;
    let secret = sleeper("main").with(|config| config["envs"] = json!([{"key": "TOKEN", "value": "hunter2"}]));
    run(&daemon, PodSpec::new("default", "secrets"), &secret)?;
    for dir in [daemon.root(), daemon.state()] {
        assert_eq!(fs::metadata(&dir)?.mode() & 0o7777, 0o700, "{}", dir.display());
    }
    let looks = cofferdam_test_support::output_of(
        "setpriv",
        ["--reuid=65534", "--regid=65534", "--clear-groups", "find"]
            .map(str::to_owned)
            .into_iter()
            .chain([daemon.root(), daemon.state()].map(|dir| dir.display().to_string()))
            .chain(["-mindepth".to_owned(), "1".to_owned()]),
    )?;
    assert_eq!(looks.stdout, "", "nobody sees what is in them");
    let database = files_named(&daemon.root(), "state.redb")?;
    ensure!(!database.is_empty(), "the database is somewhere else");
    for file in database {
        assert_eq!(fs::metadata(&file)?.mode() & 0o7777, 0o600, "{}", file.display());
    }
    Ok(())
}

fn files_named(dir: &Path, name: &str) -> Result<Vec<PathBuf>> {
    let listed = cofferdam_test_support::run("find", [&dir.display().to_string(), "-name", name])?;
    Ok(listed.lines().map(PathBuf::from).collect())
}
