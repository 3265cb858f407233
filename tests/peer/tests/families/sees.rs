//! What a container sees of itself and of its surroundings, in many configurations.

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use cofferdam_peer::images::{self, programs, usual};
use cofferdam_peer::registry::{Store, name};
use cofferdam_peer::{
    Family, Running, Side, cgroup_values, container, describe, differences, normalise, pod, run_family, wanted,
};
use cofferdam_test_images::image::ImageSpec;
use cofferdam_test_images::layer::Layer;
use libseccomp::ScmpSyscall;
use serde_json::{Map, Value, json};

use crate::PROBE;

/// One configuration: what is changed in the usual pod and container.
struct Variant {
    name: &'static str,
    image: &'static str,
    change: fn(&Side, &mut Value, &mut Value) -> Result<()>,
}

fn variant(name: &'static str, change: fn(&Side, &mut Value, &mut Value) -> Result<()>) -> Variant {
    Variant { name, image: "usual", change }
}

#[test]
#[ignore = "takes containerd and runc from Go modules: make peer"]
fn a_container_sees_the_same() -> Result<()> {
    let list = include_str!("../../differences/sees.txt");
    run_family(&Family { name: "sees", list }, store()?, async |side, seen| {
        for image in ["usual", "odd-config", "bare"] {
            side.pull(&name(image)).await?;
        }
        for variant in variants() {
            if wanted(variant.name) {
                seen.insert(variant.name.to_owned(), see(side, &variant).await.context(variant.name)?);
            }
        }
        Ok(())
    })
}

fn store() -> Result<Store> {
    let programs = programs(PROBE)?;
    let odd = usual(&programs)
        .layer(Layer::new().dir("data", 0o750).owner("data", 33, 33).file("data/of-the-image", 0o640, "x").owner(
            "data/of-the-image",
            33,
            33,
        ))
        .set("User", json!("worker"))
        .set("WorkingDir", json!("/new/deep"))
        .set("Volumes", json!({"/data": {}, "/fresh": {}}))
        .set("Env", json!(["PATH=/peer", "FROM_IMAGE=1", "BOTH=image", "EMPTY=", "NO_VALUE", "A=1", "A=2"]))
        .set("Labels", json!({"a": "b"}));
    let bare = ImageSpec::new().layer(programs.clone()).set("Env", json!([])).set("Entrypoint", json!([images::PROBE]));
    Ok(Store::default()
        .image("usual", &usual(&programs).build()?)
        .image("odd-config", &odd.build()?)
        .image("bare", &bare.build()?))
}

fn security(config: &mut Value) -> &mut Value {
    &mut config["linux"]["security_context"]
}

fn variants() -> Vec<Variant> {
    let mut all = vec![
        variant("default", |_, _, _| Ok(())),
        Variant { name: "image's own configuration", image: "odd-config", change: |_, _, _| Ok(()) },
        Variant { name: "bare image", image: "bare", change: |_, _, _| Ok(()) },
        variant("nothing set", |_, pod, container| {
            pod["linux"]["security_context"] = json!({});
            pod["dns_config"] = Value::Null;
            container["linux"] = json!({});
            Ok(())
        }),
    ];
    all.extend(privileges());
    all.extend(namespaces());
    all.extend(files());
    all
}

fn privileges() -> Vec<Variant> {
    vec![
        variant("user and groups", |_, _, container| {
            let security = security(container);
            security["run_as_user"] = json!({"value": 1000});
            security["run_as_group"] = json!({"value": 2000});
            security["supplemental_groups"] = json!([3000, 4000, 3000]);
            Ok(())
        }),
        variant("user of the image by number", |_, _, container| {
            security(container)["run_as_user"] = json!({"value": 1002});
            Ok(())
        }),
        variant("user by name", |_, _, container| {
            security(container)["run_as_username"] = json!("www-data");
            Ok(())
        }),
        variant("strict supplemental groups", |_, _, container| {
            let security = security(container);
            security["run_as_user"] = json!({"value": 1002});
            security["supplemental_groups"] = json!([3000]);
            security["supplemental_groups_policy"] = json!("Strict");
            Ok(())
        }),
        variant("privileged", |_, pod, container| {
            for config in [pod, container] {
                security(config)["privileged"] = json!(true);
            }
            Ok(())
        }),
        variant("capabilities", |_, _, container| {
            security(container)["capabilities"] =
                json!({"add_capabilities": ["NET_ADMIN", "sys_time"], "drop_capabilities": ["CHOWN", "KILL"]});
            Ok(())
        }),
        variant("no capabilities", |_, _, container| {
            security(container)["capabilities"] = json!({"drop_capabilities": ["ALL"]});
            Ok(())
        }),
        variant("all capabilities but one", |_, _, container| {
            security(container)["capabilities"] =
                json!({"add_capabilities": ["ALL"], "drop_capabilities": ["SYS_BOOT"]});
            Ok(())
        }),
        variant("ambient capabilities of a user", |_, _, container| {
            let security = security(container);
            security["run_as_user"] = json!({"value": 1000});
            security["capabilities"] =
                json!({"add_ambient_capabilities": ["NET_BIND_SERVICE"], "add_capabilities": ["SYS_PTRACE"]});
            Ok(())
        }),
        variant("no new privileges", |_, _, container| {
            security(container)["no_new_privs"] = json!(true);
            Ok(())
        }),
        variant("seccomp unconfined", |_, pod, container| {
            for config in [pod, container] {
                security(config)["seccomp"] = json!({"profile_type": "Unconfined"});
            }
            Ok(())
        }),
        variant("no masked paths", |_, _, container| {
            security(container)["masked_paths"] = json!([]);
            security(container)["readonly_paths"] = json!([]);
            Ok(())
        }),
        variant("masked paths of kubelet", |_, _, container| {
            security(container)["masked_paths"] = json!(["/proc/kcore", "/proc/asound", "/sys/firmware", "/proc/none"]);
            security(container)["readonly_paths"] = json!(["/proc/sys", "/proc/bus"]);
            Ok(())
        }),
        variant("limits", |_, _, container| {
            container["linux"]["resources"] = json!({
                "cpu_period": 100_000, "cpu_quota": 50_000, "cpu_shares": 512, "memory_limit_in_bytes": 134_217_728,
                "oom_score_adj": 500, "cpuset_cpus": "0", "cpuset_mems": "0",
                "hugepage_limits": [{"page_size": "2MB", "limit": 0}],
            });
            Ok(())
        }),
    ]
}

fn namespaces() -> Vec<Variant> {
    vec![
        variant("host network", |_, pod, container| {
            for config in [pod, container] {
                security(config)["namespace_options"] = json!({"network": "NODE", "pid": "CONTAINER"});
            }
            Ok(())
        }),
        variant("host pid and ipc", |_, pod, container| {
            for config in [pod, container] {
                security(config)["namespace_options"] = json!({"pid": "NODE", "ipc": "NODE"});
            }
            Ok(())
        }),
        variant("shared pid", |_, pod, container| {
            for config in [pod, container] {
                security(config)["namespace_options"] = json!({"pid": "POD"});
            }
            Ok(())
        }),
        variant("user namespace", |_, pod, container| {
            let mapping = json!([{"host_id": 200_000, "container_id": 0, "length": 65536}]);
            let options = json!({"mode": "POD", "uids": mapping, "gids": mapping});
            for config in [pod, container] {
                security(config)["namespace_options"]["userns_options"] = options.clone();
            }
            Ok(())
        }),
        variant("sysctls", |_, pod, _| {
            pod["linux"]["sysctls"] =
                json!({"net.ipv4.ip_local_port_range": "1024 65000", "kernel.shm_rmid_forced": "1"});
            Ok(())
        }),
        variant("ports and dns", |_, pod, _| {
            pod["port_mappings"] = json!([{"protocol": "TCP", "container_port": 80, "host_port": 0}]);
            pod["dns_config"] = json!({});
            pod["hostname"] = json!("another.name.example");
            Ok(())
        }),
        variant("terminal", |_, _, container| {
            container["tty"] = json!(true);
            container["stdin"] = json!(true);
            Ok(())
        }),
        variant("open input", |_, _, container| {
            container["stdin"] = json!(true);
            container["stdin_once"] = json!(true);
            Ok(())
        }),
    ]
}

fn files() -> Vec<Variant> {
    vec![
        variant("read-only root", |_, _, container| {
            security(container)["readonly_rootfs"] = json!(true);
            Ok(())
        }),
        variant("volumes", |side, _, container| {
            let (one, two) = (side.volume("one")?, side.volume("two")?);
            std::fs::write(one.join("file"), "x")?;
            container["mounts"] = json!([
                {"container_path": "/data/deep/inside", "host_path": two},
                {"container_path": "/data", "host_path": one},
                {"container_path": "/read-only", "host_path": one, "readonly": true},
                {"container_path": "/etc/one-file", "host_path": one.join("file"), "readonly": true},
                {"container_path": "relative", "host_path": two},
                {"container_path": "/slave", "host_path": two, "propagation": "PROPAGATION_HOST_TO_CONTAINER"},
            ]);
            Ok(())
        }),
        variant("a volume over /etc", |side, _, container| {
            let etc = side.volume("etc")?;
            std::fs::write(etc.join("passwd"), "root:x:0:0:root:/elsewhere:/bin/sh\n")?;
            container["mounts"] = json!([{"container_path": "/etc", "host_path": etc}]);
            Ok(())
        }),
        variant("mounts of kubelet", |side, _, container| {
            let (hosts, log) = (side.volume("kubelet")?.join("hosts"), side.volume("kubelet")?.join("log"));
            std::fs::write(&hosts, "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n")?;
            std::fs::write(&log, "")?;
            container["mounts"] = json!([
                {"container_path": "/etc/hosts", "host_path": hosts},
                {"container_path": "/dev/termination-log", "host_path": log},
                {"container_path": "/dev/shm/inside", "host_path": side.volume("kubelet")?},
            ]);
            Ok(())
        }),
        variant("devices", |_, _, container| {
            container["devices"] = json!([
                {"container_path": "/dev/peer/zero", "host_path": "/dev/zero", "permissions": "r"},
                {"container_path": "/dev/kmsg", "host_path": "/dev/kmsg", "permissions": "rwm"},
            ]);
            Ok(())
        }),
        variant("odd environment", |_, _, container| {
            container["envs"] = json!([
                variable("BOTH", "kubelet"),
                variable("EMPTY", ""),
                variable("EQUALS", "a=b=c"),
                variable("LINES", "a\nb"),
                variable("TWICE", "1"),
                variable("TWICE", "2"),
                variable("HOME", "/elsewhere"),
                variable("with.dot", "x"),
                variable("PATH", "/peer"),
                variable("UTF8", "\u{fc}"),
            ]);
            Ok(())
        }),
        variant("another directory", |_, _, container| {
            container["working_dir"] = json!("/new/deep");
            Ok(())
        }),
        Variant {
            name: "image's environment and kubelet's",
            image: "odd-config",
            change: |_, _, container| {
                container["envs"] = json!([variable("BOTH", "kubelet"), variable("LAST", "1")]);
                container["command"] = json!([]);
                security(container)["run_as_user"] = json!({"value": 0});
                Ok(())
            },
        },
    ]
}

/// A variable of kubelet's; the protocol has its value as bytes, and JSON those in base64.
fn variable(name: &str, value: &str) -> Value {
    json!({"key": name, "value": BASE64.encode(value)})
}

async fn see(side: &Side, variant: &Variant) -> Result<Value> {
    let short: String = variant.name.chars().filter(char::is_ascii_alphabetic).collect();
    let mark = format!("mark-{short}");
    let mut pod = pod(&short.to_lowercase());
    let mut container = container("main", &name(variant.image), &["see", "stay", "syscalls", &mark]);
    (variant.change)(side, &mut pod, &mut container)?;
    let mut running = match Running::start(side, pod).await? {
        Ok(running) => running,
        Err(failure) => return Ok(json!({"RunPodSandbox": describe(&failure)})),
    };
    let seen = look(side, &mut running, &container, &mark).await;
    running.remove().await?;
    seen
}

async fn look(side: &Side, running: &mut Running<'_>, container: &Value, mark: &str) -> Result<Value> {
    let id = match running.create(container.clone()).await? {
        Ok(id) => id,
        Err(failure) => return Ok(json!({"CreateContainer": describe(&failure)})),
    };
    if let Err(failure) = running.start_container(&id).await? {
        return Ok(json!({"StartContainer": describe(&failure)}));
    }
    let main = named(running.says(container, &id).await?);
    let cgroups = cgroup_values(running.process(mark)?, running.cgroup())?;
    let request = json!({"container_id": id, "cmd": [images::PROBE, "see"], "timeout": 60});
    let exec = match side.call("ExecSync", request).await? {
        Ok(answer) => {
            let text = BASE64.decode(answer["stdout"].as_str().context("no bytes")?)?;
            let exec = serde_json::from_slice(&text).context("what the probe said in ExecSync")?;
            changed(&main, &named(exec))
        }
        Err(failure) => describe(&failure),
    };
    let all = json!({"main": main, "exec": exec, "cgroups": cgroups});
    Ok(normalise(&all, &running.known))
}

/// Where a process started by ExecSync sees something else than the container's first process does on the same side.
fn changed(main: &Value, exec: &Value) -> Value {
    let mut main = main.clone();
    if let Some(fields) = main.as_object_mut() {
        fields.remove("syscalls");
    }
    let found = differences(exec, &main);
    Value::Object(found.into_iter().map(|change| (change.path, Value::from(change.ours))).collect::<Map<_, _>>())
}

/// The same with the names of system calls in place of their numbers.
fn named(mut seen: Value) -> Value {
    if let Some(Value::Object(calls)) = seen.get("syscalls").cloned() {
        let name = |number: &str| {
            let call = number.parse::<i32>().ok().map(ScmpSyscall::from);
            call.and_then(|call| call.get_name().ok()).unwrap_or_else(|| format!("number {number}"))
        };
        let named: Map<String, Value> = calls.into_iter().map(|(number, answer)| (name(&number), answer)).collect();
        seen["syscalls"] = Value::Object(named);
    }
    seen
}
