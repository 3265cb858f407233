//! Every field of the status calls, after everything that can become of a container.

use anyhow::{Context as _, Result};
use cofferdam_peer::images::{programs, usual};
use cofferdam_peer::registry::{Store, name};
use cofferdam_peer::{Family, Running, Seen, Side, container, describe, normalise, pod, run_family, wanted};
use serde_json::{Value, json};

use crate::PROBE;

/// A container, and how it is brought to its end when it does not end by itself.
struct End {
    name: &'static str,
    args: &'static [&'static str],
    change: fn(&mut Value),
    stop: Option<i64>,
}

#[test]
#[ignore = "takes containerd and runc from Go modules: make peer"]
fn states_exits_and_statuses_are_the_same() -> Result<()> {
    let image = usual(&programs(PROBE)?).set("StopSignal", json!("SIGINT")).set("Labels", json!({"a": "b"})).build()?;
    let store = Store::default().image("usual", &image);
    let list = include_str!("../../differences/status.txt");
    run_family(&Family { name: "status", list }, store, async |side, seen| {
        side.pull(&name("usual")).await?;
        let mut running = Running::start(side, pod("status")).await?.context("RunPodSandbox")?;
        for end in ends().iter().filter(|end| wanted(end.name)) {
            let what = after(side, &mut running, end).await.context(end.name)?;
            seen.insert(end.name.to_owned(), what);
        }
        if wanted("life") {
            life(side, &mut running, seen).await?;
            misuse(side, &mut running, seen).await?;
        }
        let (sandbox, known) = (running.sandbox.clone(), running.known.clone());
        running.remove().await?;
        let request = json!({"pod_sandbox_id": sandbox});
        seen.insert("status of a removed pod".into(), side.observe("PodSandboxStatus", request, &known).await?);
        Ok(())
    })
}

fn end(name: &'static str, args: &'static [&'static str]) -> End {
    End { name, args, change: |_| (), stop: None }
}

fn ends() -> Vec<End> {
    vec![
        end("exit 0", &["exit", "0"]),
        end("exit 7", &["exit", "7"]),
        end("exit 255", &["exit", "255"]),
        end("abort", &["signal", "abort"]),
        End {
            name: "out of memory",
            args: &["eat"],
            change: |config| config["linux"]["resources"]["memory_limit_in_bytes"] = json!(33_554_432),
            stop: None,
        },
        End { name: "stopped at once", args: &["see", "stay"], change: |_| (), stop: Some(0) },
        End { name: "stopped after a second", args: &["see", "stay"], change: |_| (), stop: Some(1) },
        End { name: "no such program", args: &[], change: |config| config["command"] = json!(["/none"]), stop: None },
        End {
            name: "no such program in PATH",
            args: &[],
            change: |config| config["command"] = json!(["none"]),
            stop: None,
        },
        End {
            name: "not executable",
            args: &[],
            change: |config| config["command"] = json!(["/etc/passwd"]),
            stop: None,
        },
        End { name: "a directory", args: &[], change: |config| config["command"] = json!(["/etc"]), stop: None },
        End {
            name: "no command at all",
            args: &[],
            change: |config| (config["command"], config["args"]) = (json!([]), json!([])),
            stop: None,
        },
        End {
            name: "working directory is a file",
            args: &["exit", "0"],
            change: |config| config["working_dir"] = json!("/etc/passwd"),
            stop: None,
        },
        End {
            name: "working directory of another user",
            args: &["exit", "0"],
            change: |config| {
                config["working_dir"] = json!("/root");
                config["linux"]["security_context"]["run_as_user"] = json!({"value": 1000});
            },
            stop: None,
        },
        End {
            name: "relative working directory",
            args: &["exit", "0"],
            change: |config| config["working_dir"] = json!("etc"),
            stop: None,
        },
        End {
            name: "user that is not in the image",
            args: &["exit", "0"],
            change: |config| config["linux"]["security_context"]["run_as_username"] = json!("nobody-here"),
            stop: None,
        },
        End {
            name: "group without a user",
            args: &["exit", "0"],
            change: |config| config["linux"]["security_context"]["run_as_group"] = json!({"value": 5}),
            stop: None,
        },
        End {
            name: "volume that is not there",
            args: &["exit", "0"],
            change: |config| config["mounts"] = json!([{"container_path": "/v", "host_path": "/none/such"}]),
            stop: None,
        },
        End {
            name: "device that is not there",
            args: &["exit", "0"],
            change: |config| config["devices"] = json!([{"container_path": "/dev/v", "host_path": "/dev/none"}]),
            stop: None,
        },
        End {
            name: "capability that does not exist",
            args: &["exit", "0"],
            change: |config| {
                config["linux"]["security_context"]["capabilities"] = json!({"add_capabilities": ["NONE"]})
            },
            stop: None,
        },
        End {
            name: "profile that is not there",
            args: &["exit", "0"],
            change: |config| {
                let profile = json!({"profile_type": "Localhost", "localhost_ref": "/none/such.json"});
                config["linux"]["security_context"]["seccomp"] = profile;
            },
            stop: None,
        },
        End {
            name: "image that is not there",
            args: &["exit", "0"],
            change: |config| config["image"]["image"] = json!("127.0.0.1:5001/peer/none:latest"),
            stop: None,
        },
        End {
            name: "no metadata",
            args: &["exit", "0"],
            change: |config| config["metadata"] = Value::Null,
            stop: None,
        },
        End {
            name: "environment without a name",
            args: &["exit", "0"],
            change: |config| config["envs"] = json!([{"key": "", "value": "eA=="}]),
            stop: None,
        },
        End {
            name: "memory limit that is too small",
            args: &["exit", "0"],
            change: |config| config["linux"]["resources"]["memory_limit_in_bytes"] = json!(1000),
            stop: None,
        },
    ]
}

/// What the calls say of a container from its creation to its end.
async fn after(side: &Side, running: &mut Running<'_>, end: &End) -> Result<Value> {
    let short = end.name.replace(' ', "-");
    let mut config = container(&short, &name("usual"), end.args);
    (end.change)(&mut config);
    let id = match running.create(config.clone()).await? {
        Ok(id) => id,
        Err(failure) => return Ok(json!({"CreateContainer": describe(&failure)})),
    };
    let request = json!({"container_id": id});
    let mut seen = json!({});
    if let Err(failure) = running.start_container(&id).await? {
        seen["StartContainer"] = describe(&failure);
    } else if let Some(timeout) = end.stop {
        running.says(&config, &id).await?;
        let stop = json!({"container_id": id, "timeout": timeout});
        seen["StopContainer"] = side.observe("StopContainer", stop, &running.known).await?;
    } else {
        running.ends(&config, &id).await?;
    }
    seen["ContainerStatus"] = without_message(side.observe("ContainerStatus", request.clone(), &running.known).await?);
    seen["StartContainer again"] = side.observe("StartContainer", request.clone(), &running.known).await?;
    seen["ContainerStats"] = side.observe("ContainerStats", request.clone(), &running.known).await?;
    let exec = json!({"container_id": id, "cmd": [PROBE_INSIDE, "exit", "3"], "timeout": 10});
    seen["ExecSync"] = side.observe("ExecSync", exec, &running.known).await?;
    seen["RemoveContainer"] = side.observe("RemoveContainer", request, &running.known).await?;
    Ok(seen)
}

const PROBE_INSIDE: &str = cofferdam_peer::images::PROBE;

/// The words of a message are each runtime's own: whether there is one is what counts.
fn without_message(mut answer: Value) -> Value {
    let message = &mut answer["status"]["message"];
    if message.as_str().is_some_and(|text| !text.is_empty()) {
        *message = json!("there");
    }
    answer
}

/// Leaves one image in an answer that lists several: what else a runtime keeps, and in which order, is its own
/// business.
fn only_image(answer: &mut Value, tag: &str) {
    if let Some(images) = answer.get_mut("images").and_then(Value::as_array_mut) {
        images.retain(|image| image["repo_tags"].as_array().is_some_and(|tags| tags.iter().any(|one| one == tag)));
    }
}

/// A container that runs, and every call that tells of it, of its pod and of its image.
async fn life(side: &Side, running: &mut Running<'_>, seen: &mut Seen) -> Result<()> {
    let mut config = container("life", &name("usual"), &["see", "stay"]);
    config["linux"]["resources"] = json!({"memory_limit_in_bytes": 134_217_728, "cpu_quota": 50_000, "cpu_period": 100_000, "oom_score_adj": 1000});
    config["mounts"] = json!([{"container_path": "/v", "host_path": side.volume("life")?, "readonly": true}]);
    let id = running.create(config.clone()).await?.context("CreateContainer")?;
    let (container, sandbox) = (json!({"container_id": id}), json!({"pod_sandbox_id": running.sandbox}));
    let (one, one_pod) = (json!({"filter": {"id": id}}), json!({"filter": {"id": running.sandbox}}));
    seen.insert("created".into(), side.observe("ContainerStatus", container.clone(), &running.known).await?);
    running.start_container(&id).await?.context("StartContainer")?;
    running.says(&config, &id).await?;
    let image = json!({"image": {"image": name("usual")}});
    let calls = [
        ("ContainerStatus", container.clone()),
        ("PodSandboxStatus", sandbox.clone()),
        ("ImageStatus", image.clone()),
        ("ListContainers", one.clone()),
        ("ListPodSandbox", one_pod.clone()),
        ("ListImages", json!({"filter": image})),
        ("ContainerStats", container.clone()),
        ("ListContainerStats", one),
        ("PodSandboxStats", sandbox),
        ("ListPodSandboxStats", one_pod),
        ("Status", json!({})),
        ("RuntimeConfig", json!({})),
        ("ReopenContainerLog", container.clone()),
        ("ListMetricDescriptors", json!({})),
    ];
    for (method, request) in calls {
        let mut answer = side.observe(method, request, &running.known).await?;
        only_image(&mut answer, &name("usual"));
        seen.insert(format!("running: {method}"), answer);
    }
    for (what, request) in [
        ("exit 3", json!({"container_id": id, "cmd": [PROBE_INSIDE, "exit", "3"], "timeout": 10})),
        ("abort", json!({"container_id": id, "cmd": [PROBE_INSIDE, "signal", "abort"], "timeout": 10})),
        ("no such program", json!({"container_id": id, "cmd": ["/none"], "timeout": 10})),
        ("not executable", json!({"container_id": id, "cmd": ["/etc/passwd"], "timeout": 10})),
        ("no command", json!({"container_id": id, "cmd": [], "timeout": 10})),
        ("too long", json!({"container_id": id, "cmd": [PROBE_INSIDE, "see", "stay"], "timeout": 1})),
    ] {
        let mut answer = side.observe("ExecSync", request, &running.known).await?;
        if what == "too long" {
            answer["stdout"] = Value::Null;
        }
        seen.insert(format!("ExecSync: {what}"), answer);
    }
    let update = json!({"container_id": id, "linux": {"memory_limit_in_bytes": 268_435_456, "cpu_quota": 20_000}});
    seen.insert("update".into(), side.observe("UpdateContainerResources", update, &running.known).await?);
    seen.insert("updated".into(), side.observe("ContainerStatus", container.clone(), &running.known).await?);
    seen.insert(
        "remove a running one".into(),
        side.observe("RemoveContainer", container.clone(), &running.known).await?,
    );
    seen.insert("removed".into(), side.observe("ContainerStatus", container, &running.known).await?);
    Ok(())
}

/// Calls with names that are taken, gone or wrong.
async fn misuse(side: &Side, running: &mut Running<'_>, seen: &mut Seen) -> Result<()> {
    let config = container("twice", &name("usual"), &["see", "stay"]);
    let id = running.create(config.clone()).await?.context("CreateContainer")?;
    let again = json!({"pod_sandbox_id": running.sandbox, "config": config, "sandbox_config": running.config});
    let none = json!({"container_id": "none"});
    let calls = [
        ("CreateContainer twice", "CreateContainer", again),
        ("RunPodSandbox twice", "RunPodSandbox", json!({"config": running.config, "runtime_handler": side.handler})),
        ("unknown handler", "RunPodSandbox", json!({"config": running.config, "runtime_handler": "none"})),
        ("no config", "RunPodSandbox", json!({})),
        (
            "create in no pod",
            "CreateContainer",
            json!({"pod_sandbox_id": "none", "config": config, "sandbox_config": running.config}),
        ),
        ("status of none", "ContainerStatus", none.clone()),
        ("start none", "StartContainer", none.clone()),
        ("stop none", "StopContainer", none.clone()),
        ("remove none", "RemoveContainer", none.clone()),
        ("stats of none", "ContainerStats", none.clone()),
        ("exec in none", "ExecSync", json!({"container_id": "none", "cmd": ["x"]})),
        ("update none", "UpdateContainerResources", json!({"container_id": "none", "linux": {}})),
        ("reopen none", "ReopenContainerLog", none),
        ("reopen one that does not run", "ReopenContainerLog", json!({"container_id": id})),
        ("exec in one that does not run", "ExecSync", json!({"container_id": id, "cmd": [PROBE_INSIDE, "exit", "0"]})),
        ("stop one that does not run", "StopContainer", json!({"container_id": id})),
        ("start one that was stopped", "StartContainer", json!({"container_id": id})),
        ("status of no pod", "PodSandboxStatus", json!({"pod_sandbox_id": "none"})),
        ("stop no pod", "StopPodSandbox", json!({"pod_sandbox_id": "none"})),
        ("remove no pod", "RemovePodSandbox", json!({"pod_sandbox_id": "none"})),
        ("stats of no pod", "PodSandboxStats", json!({"pod_sandbox_id": "none"})),
        ("status of no image", "ImageStatus", json!({"image": {"image": "127.0.0.1:5001/peer/none:latest"}})),
        ("remove no image", "RemoveImage", json!({"image": {"image": "127.0.0.1:5001/peer/none:latest"}})),
        ("image without a name", "ImageStatus", json!({})),
        ("exec without a container", "Exec", json!({"cmd": ["x"], "stdout": true})),
        ("attach to none", "Attach", json!({"container_id": "none", "stdout": true})),
        ("forward from none", "PortForward", json!({"pod_sandbox_id": "none", "port": [80]})),
        ("list by an unknown id", "ListContainers", json!({"filter": {"id": "none"}})),
        ("list by label", "ListContainers", json!({"filter": {"label_selector": {"no": "such"}}})),
    ];
    for (what, method, request) in calls {
        seen.insert(what.to_owned(), side.observe(method, request, &running.known).await?);
    }
    for (what, method) in
        [("stop", "StopPodSandbox"), ("stop twice", "StopPodSandbox"), ("stopped", "PodSandboxStatus")]
    {
        let request = json!({"pod_sandbox_id": running.sandbox});
        seen.insert(format!("pod: {what}"), side.observe(method, request, &running.known).await?);
    }
    let create = json!({"pod_sandbox_id": running.sandbox, "config": container("late", &name("usual"), &["exit", "0"]), "sandbox_config": running.config});
    seen.insert("create in a stopped pod".into(), side.observe("CreateContainer", create, &running.known).await?);
    let status = side.call("ContainerStatus", json!({"container_id": id})).await?.context("ContainerStatus")?;
    seen.insert("created, then its pod stopped".into(), normalise(&without_message(status), &running.known));
    Ok(())
}
