//! A pod without host access gets nothing that reaches beyond it: not by capabilities, ids, mappings or paths.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use cofferdam_e2e::{Kind, daemon, run, sleeper};
use cofferdam_hostile::hostile;
use cofferdam_test_support::{Daemon, PodSpec, image, needs};
use serde_json::{Value, json};

/// Every capability of Linux 6.12 (`include/uapi/linux/capability.h`) that reaches beyond a pod.
const BEYOND: &[&str] = &[
    "DAC_READ_SEARCH",
    "LINUX_IMMUTABLE",
    "NET_ADMIN",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "AUDIT_CONTROL",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

#[needs(root)]
#[test]
fn capabilities_that_reach_beyond_the_pod_are_refused_by_name() -> Result<()> {
    let daemon = daemon("caps", Kind::Namespace)?.start()?;
    let crictl = daemon.crictl();
    crictl.pull(&image("busybox"))?;
    let pod = PodSpec::new("default", "caps");
    let sandbox = crictl.run_pod(&pod)?;
    let mut wrong = BTreeMap::new();
    for name in BEYOND {
        for spelled in [(*name).to_owned(), format!("CAP_{name}"), name.to_lowercase()] {
            let asks = sleeper("bad").with(|config| {
                config["linux"]["security_context"]["capabilities"] = json!({"add_capabilities": [spelled]});
            });
            let output = crictl.try_create(&sandbox, &asks, &pod)?;
            if output.code == 0 || !output.stderr.contains("PermissionDenied") || !output.stderr.contains(name) {
                wrong.insert(spelled, output.stderr);
            }
        }
    }
    ensure!(wrong.is_empty(), "not refused, or not by name: {wrong:#?}");
    Ok(())
}

#[needs(root)]
#[test]
fn every_capability_is_to_be_had_in_a_vm() -> Result<()> {
    let daemon = daemon("caps", Kind::Vm)?.start()?;
    let pod = hostile(&daemon, Kind::Vm, PodSpec::new("default", "caps"), |config| {
        config["linux"]["security_context"]["capabilities"] = json!({"add_capabilities": ["ALL"]});
    })?;
    // The handle leads to the root of what the guest has there, which is no file system of the host's.
    let opened = pod.attempt(&daemon, &["open-by-handle", "/etc/resolv.conf"])?;
    println!("open_by_handle_at in a guest: {opened:?}");
    let status = daemon.crictl().exec(&pod.running.container, &["grep", "CapEff", "/proc/self/status"])?;
    let mask = u64::from_str_radix(status.split_whitespace().nth(1).unwrap_or_default(), 16)?;
    // SYS_MODULE (16), SYS_ADMIN (21), BPF (39).
    ensure!([16, 21, 39].iter().all(|bit| mask & (1 << bit) != 0), "{status}");
    Ok(())
}

#[needs(root)]
#[test]
fn a_default_pod_opens_nothing_by_handle_and_mounts_nothing() -> Result<()> {
    let daemon = daemon("handle", Kind::Namespace)?.start()?;
    let pod = hostile(&daemon, Kind::Namespace, PodSpec::new("default", "handle"), |_| ())?;
    for words in [["open-by-handle", "/etc/resolv.conf"].as_slice(), &["open-by-handle", "/etc/hosts"], &["mount"]] {
        let answer = pod.attempt(&daemon, words)?;
        assert_eq!(answer.as_ref().err().map(|text| text.ends_with("errno 1")), Some(true), "{words:?}: {answer:?}");
    }
    Ok(())
}

/// What each of these asks for is an id above 2^31-1; -1 is the one that the kernel takes for "leave it as it is".
#[needs(root)]
#[test]
fn ids_that_the_kernel_or_kubernetes_does_not_know_are_refused_naming_the_field() -> Result<()> {
    let daemon = daemon("ids", Kind::Namespace)?.start()?;
    let crictl = daemon.crictl();
    crictl.pull(&image("busybox"))?;
    let pod = PodSpec::new("default", "ids");
    let sandbox = crictl.run_pod(&pod)?;
    let context = |key: &'static str, value: Value| {
        sleeper("bad").with(move |config| {
            config["linux"]["security_context"]["run_as_user"] = json!({"value": 1});
            config["linux"]["security_context"][key] = value;
        })
    };
    for id in [i64::from(u32::MAX), i64::from(u32::MAX) - 1, 1 << 31, 1 << 32, -1, i64::MAX] {
        for key in ["run_as_user", "run_as_group", "supplemental_groups"] {
            let value = if key == "supplemental_groups" { json!([id]) } else { json!({"value": id}) };
            let error = crictl.try_create(&sandbox, &context(key, value), &pod)?.err()?;
            ensure!(error.contains("InvalidArgument") && error.contains(key), "{key} {id}: {error}");
        }
    }
    for name in ["4294967295", "1:4294967295", "4294967296", "-1", "2147483648"] {
        let asks = sleeper("bad").with(|config| config["linux"]["security_context"]["run_as_username"] = json!(name));
        let output = crictl.try_create(&sandbox, &asks, &pod)?;
        ensure!(output.code != 0, "run_as_username {name} was taken");
    }
    Ok(())
}

#[needs(root)]
#[test]
fn a_user_namespace_over_ids_of_the_node_or_of_another_pod_is_refused() -> Result<()> {
    let daemon = daemon("mapping", Kind::Namespace)?.start()?;
    let mapped = |name: &str, host: u32| {
        let mapping = json!([{"container_id": 0, "host_id": host, "length": 65536}]);
        let options = json!({"pid": 1, "userns_options": {"mode": 0, "uids": mapping, "gids": mapping}});
        PodSpec::new("default", name).with(|config| config["linux"]["security_context"]["namespace_options"] = options)
    };
    let crictl = daemon.crictl();
    for host in [0, 1000, 65_535] {
        let error = crictl.try_run_pod(&mapped("node", host))?.err()?;
        ensure!(error.contains("user namespace"), "{host}: {error}");
    }
    let first = crictl.run_pod(&mapped("first", 1_000_000))?;
    let error = crictl.try_run_pod(&mapped("second", 1_000_000 + 65_535))?.err()?;
    ensure!(error.contains("user namespace"), "{error}");
    crictl.run_pod(&mapped("beside", 1_000_000 + 65_536))?;
    crictl.remove_pod(&first)?;
    crictl.run_pod(&mapped("later", 1_000_000))?;
    Ok(())
}

/// A tenant names the volume and its directories; what lies there is what counts.
#[needs(root)]
#[test]
fn a_host_path_in_the_guise_of_a_sub_path_is_refused() -> Result<()> {
    let daemon = daemon("subpath", Kind::Namespace)?.start()?;
    let secret = daemon.dir().join("secret");
    std::fs::create_dir_all(&secret)?;
    std::fs::write(secret.join("key"), "of the node")?;
    let pod = PodSpec::new("default", "subpath");
    let own = daemon.kubelet_dir().join("pods").join(pod.uid());
    std::fs::create_dir_all(own.join("volumes/kubernetes.io~empty-dir/data"))?;
    // kubelet binds a subPath of a hostPath volume below the pod's own directory, under the volume's name.
    let disguised = own.join("volume-subpaths/data/main/0");
    std::fs::create_dir_all(&disguised)?;
    let (from, to) = (secret.display().to_string(), disguised.display().to_string());
    cofferdam_test_support::run("mount", ["--bind", &from, &to])?;
    let refused = refused_mount(&daemon, &pod, &to);
    cofferdam_test_support::run("umount", [&to])?;
    refused
}

fn refused_mount(daemon: &Daemon, pod: &PodSpec, path: &str) -> Result<()> {
    let asks = sleeper("main").with(|config| {
        config["mounts"] = json!([{"container_path": "/stolen", "host_path": path}]);
    });
    match run(daemon, pod.clone(), &asks) {
        Ok(running) => {
            let seen = daemon.crictl().try_exec(&running.container, &["cat", "/stolen/key"])?;
            anyhow::bail!("the pod has a directory of the node: {}", seen.stdout)
        }
        Err(error) => {
            let text = format!("{error:#}");
            ensure!(text.contains("PermissionDenied") && text.contains("hostPath"), "{text}");
            Ok(())
        }
    }
}
