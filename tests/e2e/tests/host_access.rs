//! A pod without host access, against the kernel: what is mounted in it is its own, and its capabilities end at it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use cofferdam_e2e::{Kind, daemon, run, sleeper};
use cofferdam_test_support::{ContainerSpec, PodSpec, image, needs};
use serde_json::json;

/// A mount of the test, as kubelet makes it; it goes with this.
struct Mounted(PathBuf);

impl Mounted {
    fn new(options: &[&str], source: &str, at: &Path) -> Result<Mounted> {
        fs::create_dir_all(at)?;
        let mounted = Mounted(at.to_owned());
        let at = at.display().to_string();
        cofferdam_test_support::run("mount", [options, &[source, &at]].concat())?;
        Ok(mounted)
    }

    fn bind(source: &Path, at: &Path) -> Result<Mounted> {
        Mounted::new(&["--bind"], &source.display().to_string(), at)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Lazily: a container that the failed test left may still have it.
        let _ = cofferdam_test_support::run("umount", ["-l".to_owned(), self.0.display().to_string()]);
    }
}

#[needs(root)]
#[test]
fn a_sub_path_is_what_is_mounted_there_and_no_name_makes_it_the_pods() -> Result<()> {
    let daemon = daemon("sub-path", Kind::Namespace)?.start()?;
    let crictl = daemon.crictl();
    let spec = PodSpec::new("default", "web");
    let pod_dir = daemon.kubelet_dir().join("pods").join(spec.uid());
    let (data, secret) =
        (pod_dir.join("volumes/kubernetes.io~empty-dir/data"), pod_dir.join("volumes/kubernetes.io~secret/s"));
    for dir in ["own", "also"] {
        fs::create_dir_all(data.join(dir))?;
        fs::write(data.join(dir).join("file"), dir)?;
    }
    let node = daemon.dir().join("node");
    fs::create_dir_all(&node)?;
    fs::write(node.join("file"), "node")?;
    std::os::unix::fs::symlink(&node, data.join("link"))?;
    let _secret = Mounted::new(&["-t", "tmpfs"], "tmpfs", &secret)?;
    fs::create_dir_all(secret.join("part"))?;
    fs::write(secret.join("part/file"), "secret")?;
    let sub_path = |n: u32| pod_dir.join(format!("volume-subpaths/data/main/{n}"));
    let _own = Mounted::bind(&data.join("own"), &sub_path(0))?;
    let _of_tmpfs = Mounted::bind(&secret.join("part"), &sub_path(1))?;
    let _of_node = Mounted::bind(&node, &sub_path(2))?;

    let with = |name: &str, paths: &[&Path]| {
        sleeper(name).with(|config| {
            let mounts = paths.iter().enumerate();
            config["mounts"] =
                mounts.map(|(i, path)| json!({"container_path": format!("/m{i}"), "host_path": path})).collect();
        })
    };
    let pod = run(&daemon, spec, &with("main", &[&data, &sub_path(0), &secret, &sub_path(1)]))?;
    for (file, content) in
        [("/m0/also/file", "also"), ("/m1/file", "own"), ("/m2/part/file", "secret"), ("/m3/file", "secret")]
    {
        assert_eq!(crictl.exec(&pod.container, &["cat", file])?.trim(), content, "{file}");
    }
    for path in [sub_path(2), data.join("link"), node, pod_dir.clone(), pod_dir.join("volume-subpaths")] {
        let refused = crictl.try_create(&pod.sandbox, &with("bad", &[&path]), &pod.spec)?.err()?;
        ensure!(refused.contains("PermissionDenied") && refused.contains(&path.display().to_string()), "{refused}");
    }
    crictl.remove_pod(&pod.sandbox)
}

#[needs(root)]
#[test]
fn every_capability_may_be_had_in_a_user_namespace_and_reaches_no_file_of_the_node() -> Result<()> {
    let daemon = daemon("all-mapped", Kind::Namespace)?.start()?;
    let crictl = daemon.crictl();
    let all = |config: &mut serde_json::Value| {
        config["linux"]["security_context"]["capabilities"] = json!({"add_capabilities": ["ALL"]});
    };
    let plain = run(&daemon, PodSpec::new("default", "plain"), &sleeper("main"))?;
    let refused = crictl.try_create(&plain.sandbox, &sleeper("all").with(all), &plain.spec)?.err()?;
    ensure!(refused.contains("PermissionDenied") && refused.contains("CAP_"), "{refused}");

    let options = |host_id: u32| {
        let mapping = json!([{"container_id": 0, "host_id": host_id, "length": 65536}]);
        json!({"mode": 0, "uids": mapping, "gids": mapping})
    };
    let mapped = |name: &str, host_id| {
        PodSpec::new("default", name).with(|config| {
            config["linux"]["security_context"]["namespace_options"]["userns_options"] = options(host_id);
        })
    };
    for (host_id, what) in [(0, "the node's own"), (1000, "the node's own")] {
        let refused = crictl.try_run_pod(&mapped("bad", host_id))?.err()?;
        ensure!(refused.contains("PermissionDenied") && refused.contains(what), "{refused}");
    }
    let container = ContainerSpec::new("all", &image("busybox")).shell("sleep 1000").with(|config| {
        all(config);
        config["linux"]["security_context"]["namespace_options"]["userns_options"] = options(1_000_000);
    });
    let pod = run(&daemon, mapped("own", 1_000_000), &container)?;
    let refused = crictl.try_run_pod(&mapped("other", 1_065_535))?.err()?;
    ensure!(refused.contains("another pod's"), "{refused}");
    // The pod's resolv.conf is bound from the node's file system: nothing there is the pod's to change.
    let write = "echo x >/proc/sys/kernel/core_pattern || mknod /tmp/x b 8 0 || chown 0 /proc/kcore";
    ensure!(crictl.try_exec(&pod.container, &["sh", "-c", write])?.code != 0, "it wrote to the node");
    crictl.remove_pod(&pod.sandbox)
}

#[needs(root)]
#[test]
fn a_vm_mounts_what_was_looked_at_as_well() -> Result<()> {
    let daemon = daemon("vm-mounts", Kind::Vm)?.start()?;
    let crictl = daemon.crictl();
    let spec = PodSpec::new("default", "web").handler("vm");
    let volumes = daemon.kubelet_dir().join("pods").join(spec.uid()).join("volumes/kubernetes.io~empty-dir");
    fs::create_dir_all(volumes.join("data"))?;
    fs::write(volumes.join("data/file"), "own")?;
    std::os::unix::fs::symlink("/etc", volumes.join("data/link"))?;
    let with = |name: &str, path: PathBuf| {
        sleeper(name).with(|config| config["mounts"] = json!([{"container_path": "/m", "host_path": path}]))
    };
    let pod = run(&daemon, spec, &with("main", volumes.join("data")))?;
    assert_eq!(crictl.exec(&pod.container, &["cat", "/m/file"])?.trim(), "own");
    let refused = crictl.try_create(&pod.sandbox, &with("bad", volumes.join("data/link")), &pod.spec)?.err()?;
    ensure!(refused.contains("PermissionDenied") && refused.contains("data/link"), "{refused}");
    crictl.remove_pod(&pod.sandbox)
}
