//! What stock workloads count on: files for a user of their own, HOME, low ports, the pod's files over a volume.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::Result;
use cofferdam_e2e::{Kind, daemon, run, sleeper};
use cofferdam_test_support::{ContainerSpec, PodSpec, needs};
use serde_json::{Value, json};

const ALLOWED: &str = "[tenant.default]\nhostAccess = \"Allowed\"\n";

fn mounts(list: &[(&str, &Path)]) -> Value {
    list.iter().map(|(at, host)| json!({"container_path": at, "host_path": host})).collect::<Vec<_>>().into()
}

fn volume(daemon: &cofferdam_test_support::Daemon, name: &str) -> Result<std::path::PathBuf> {
    let dir = daemon.dir().join(name);
    fs::create_dir(&dir)?;
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755))?;
    Ok(dir)
}

fn a_user_of_its_own(kind: Kind) -> Result<()> {
    let daemon = daemon("user", kind)?.config(ALLOWED).start()?;
    let dir = volume(&daemon, "token")?;
    fs::write(dir.join("token"), "tok\n")?;
    let container = sleeper("user").with(|config| {
        config["linux"]["security_context"]["run_as_user"] = json!({"value": 1000});
        config["linux"]["security_context"]["capabilities"] = json!({"drop_capabilities": ["ALL"]});
        config["mounts"] = mounts(&[("/var/run/secrets/kubernetes.io/serviceaccount", &dir)]);
        config["working_dir"] = json!("/new/dir");
    });
    let pod = run(&daemon, PodSpec::new("default", "user").handler(kind.handler()), &container)?;
    let script = "pwd; echo $HOME; cat /var/run/secrets/kubernetes.io/serviceaccount/token; \
                  cat /proc/sys/net/ipv4/ip_unprivileged_port_start /etc/hostname; \
                  stat -c %a /new /new/dir /etc/hosts; \
                  cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null | wc -l";
    let seen = daemon.crictl().exec(&pod.container, &["sh", "-c", script])?;
    assert_eq!(seen, "/new/dir\n/\ntok\n0\nuser\n755\n755\n644\n1\n");
    Ok(())
}

#[needs(root)]
#[test]
fn a_user_of_its_own_reads_what_is_mounted_for_it() -> Result<()> {
    a_user_of_its_own(Kind::Namespace)
}

#[needs(root)]
#[test]
fn a_user_of_its_own_reads_what_is_mounted_for_it_in_a_vm() -> Result<()> {
    a_user_of_its_own(Kind::Vm)
}

#[needs(root)]
#[test]
fn home_is_the_users_and_an_exec_has_it_too() -> Result<()> {
    let daemon = daemon("home", Kind::Namespace)?.start()?;
    let home = |container: ContainerSpec| -> Result<String> {
        let name = container.clone();
        let pod = run(&daemon, PodSpec::new("default", "home"), &name)?;
        let seen = daemon.crictl().exec(&pod.container, &["sh", "-c", "echo $HOME"])?;
        daemon.crictl().remove_pod(&pod.sandbox)?;
        Ok(seen)
    };
    assert_eq!(home(sleeper("root"))?, "/root\n");
    let set = sleeper("set").with(|config| config["envs"] = json!([{"key": "HOME", "value": "/x"}]));
    assert_eq!(home(set)?, "/x\n");
    Ok(())
}

/// A volume at /etc: the pod's files come on top of it.
#[needs(root)]
#[test]
fn a_volume_at_etc_leaves_the_pods_files_visible() -> Result<()> {
    let daemon = daemon("etc", Kind::Namespace)?.config(ALLOWED).start()?;
    let dir = volume(&daemon, "etc")?;
    fs::write(dir.join("own"), "own\n")?;
    let container = sleeper("etc").with(|config| config["mounts"] = mounts(&[("/etc/", &dir)]));
    let pod = PodSpec::new("default", "etc").with(|config| config["dns_config"] = json!({"servers": ["10.0.0.10"]}));
    let pod = run(&daemon, pod, &container)?;
    let seen = daemon.crictl().exec(&pod.container, &["sh", "-c", "cat /etc/resolv.conf /etc/hostname /etc/own"])?;
    assert_eq!(seen, "nameserver 10.0.0.10\netc\nown\n");
    Ok(())
}

/// The node's /dev as it was, and the pod's terminals and shared memory on it.
#[needs(root)]
#[test]
fn the_nodes_dev_as_a_volume_stays_as_it_is() -> Result<()> {
    let daemon = daemon("dev", Kind::Namespace)?.config(ALLOWED).start()?;
    let names = || -> Result<Vec<(std::ffi::OsString, u64)>> {
        let inode = |entry: &fs::DirEntry| entry.metadata().map(|of| std::os::unix::fs::MetadataExt::ino(&of));
        let mut found = Vec::new();
        for entry in fs::read_dir("/dev")? {
            let entry = entry?;
            found.push((entry.file_name(), inode(&entry)?));
        }
        found.sort();
        Ok(found)
    };
    let before = names()?;
    for privileged in [false, true] {
        let container = sleeper("dev").with(|config| {
            config["mounts"] = mounts(&[("/dev", Path::new("/dev"))]);
            config["linux"]["security_context"]["privileged"] = json!(privileged);
        });
        let pod = PodSpec::new("default", "dev")
            .with(|config| config["linux"]["security_context"]["privileged"] = json!(privileged));
        let pod = run(&daemon, pod, &container)?;
        let script = "stat -f -c %T /dev/pts /dev/shm; ls /dev/pts; ls /dev/shm | wc -l; echo x >/dev/null";
        let seen = daemon.crictl().exec(&pod.container, &["sh", "-c", script])?;
        assert_eq!(seen, "devpts\ntmpfs\nptmx\n0\n");
        daemon.crictl().remove_pod(&pod.sandbox)?;
        assert_eq!(names()?, before);
    }
    Ok(())
}
