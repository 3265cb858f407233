//! Limits, and what is told of their use.

use std::fs;

use serde_json::json;

use cofferdam_test_support::{cgroup_dirs, eventually};

use crate::bed::{end, pod};

pub const CASES: &[cofferdam_test_support::gate::Case] = &[
    ("limits_are_applied_updated_and_read_back", limits),
    ("the_oom_killer_is_seen", oom),
    ("stats", stats),
    ("signal_all_and_removal_leave_nothing", removal),
    ("cgroups_that_a_container_made_go_with_it", nested),
    ("a_limit_that_the_node_lacks_is_refused", refused),
];

fn limits() {
    let mut pod = pod();
    let spec = pod.spec("sleep 100", |oci| {
        oci["linux"]["resources"]["memory"] = json!({ "limit": 64 << 20 });
        oci["linux"]["resources"]["cpu"] = json!({ "shares": 512, "quota": 20000, "period": 100000 });
        oci["linux"]["resources"]["pids"] = json!({ "limit": 20 });
    });
    let (mut container, launched) = pod.start(&spec);
    let update = |value| serde_json::from_value(value).unwrap();
    let now = container.update(&update(json!({}))).unwrap();
    assert_eq!(now.memory().as_ref().unwrap().limit(), Some(64 << 20));
    assert_eq!(now.pids().as_ref().unwrap().limit(), 20);
    let cpu = now.cpu().as_ref().unwrap();
    assert_eq!((cpu.shares(), cpu.quota(), cpu.period()), (Some(512), Some(20000), Some(100_000)));
    let more = json!({ "memory": { "limit": (128 << 20) + 1 }, "cpu": { "quota": -1, "shares": 1024 } });
    let now = container.update(&update(more)).unwrap();
    assert_eq!(now.memory().as_ref().unwrap().limit(), Some(128 << 20), "the kernel rounds, and that is told");
    assert_eq!((now.cpu().as_ref().unwrap().quota(), now.cpu().as_ref().unwrap().shares()), (Some(-1), Some(1024)));
    // Its own files are the oracle.
    let files: Vec<_> = cgroup_dirs(&format!("{}/{}", pod.cgroup, spec.id))
        .unwrap()
        .iter()
        .map(|d| d.join("memory.limit_in_bytes"))
        .collect();
    if let Some(file) = files.iter().find(|file| file.exists()) {
        assert_eq!(fs::read_to_string(file).unwrap().trim(), (128 << 20).to_string());
    }
    container.signal_all(9).unwrap();
    end(launched);
    container.remove().unwrap();
}

fn oom() {
    let mut pod = pod();
    let spec = pod.spec(
        "dd if=/dev/zero of=/dev/null bs=200M count=1; echo $?; exec awk 'BEGIN { s = \"x\"; while (1) s = s s }'",
        |oci| {
            oci["linux"]["resources"]["memory"] = json!({ "limit": 32 << 20, "swap": 32 << 20 });
        },
    );
    let (mut container, launched) = pod.start(&spec);
    let ended = end(launched);
    assert_eq!(ended.code, 137, "{ended:?}");
    assert!(container.oom_killed());
    container.remove().unwrap();
    let spec = pod.spec("true", |_| {});
    let (mut container, launched) = pod.start(&spec);
    end(launched);
    assert!(!container.oom_killed());
    container.remove().unwrap();
}

fn stats() {
    let mut pod = pod();
    let spec = pod.spec("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo; sleep 100", |_| {});
    let (mut container, launched) = pod.start(&spec);
    eventually("CPU time", || container.stats().cpu_ns.is_some_and(|ns| ns > 1_000_000)).unwrap();
    let stats = container.stats();
    assert!(
        stats.memory_usage.unwrap() > 0 && stats.memory_working_set.unwrap() <= stats.memory_usage.unwrap(),
        "{stats:?}"
    );
    assert!(stats.pids.unwrap() >= 1 && stats.memory_limit.is_none(), "{stats:?}");
    let all = pod.runner.stats();
    assert!(all.cpu_ns >= stats.cpu_ns && all.pids >= stats.pids, "{all:?}");
    container.signal_all(9).unwrap();
    end(launched);
    container.remove().unwrap();
}

fn removal() {
    let mut pod = pod();
    let spec = pod.spec("trap 'exit 3' TERM; touch /ready; while true; do sleep 0.01; done", |_| {});
    let (mut container, launched) = pod.start(&spec);
    eventually("the shell", || spec.rootfs.upper.join("ready").exists()).unwrap();
    container.signal_all(15).unwrap();
    assert_eq!(end(launched).code, 3);
    container.remove().unwrap();
    assert_eq!(cgroup_dirs(&format!("{}/{}", pod.cgroup, spec.id)).unwrap(), Vec::<std::path::PathBuf>::new());
    container.remove().unwrap();
    // Never started.
    let spec = pod.spec("true", |_| {});
    let (mut container, launched) = pod.runner.create(&spec).unwrap();
    container.signal_all(9).unwrap();
    assert_eq!(end(launched).code, 137);
    container.remove().unwrap();
    // A failure leaves nothing.
    let spec =
        pod.spec("true", |oci| crate::bed::bind(oci, std::path::Path::new("/no/such/source"), "/data", &["rbind"]));
    let error = pod.runner.create(&spec).unwrap_err();
    assert!(error.to_string().contains("/no/such/source"), "{error}");
    assert_eq!(cgroup_dirs(&format!("{}/{}", pod.cgroup, spec.id)).unwrap(), Vec::<std::path::PathBuf>::new());
    assert!(rustix::process::wait(rustix::process::WaitOptions::NOHANG).is_err(), "a child is left");
}

fn refused() {
    let mut pod = pod();
    let refusal = pod.refusal("true", |oci| {
        oci["linux"]["resources"]["hugepageLimits"] = json!([{ "pageSize": "3MB", "limit": 1 }]);
    });
    assert!(refusal.to_string().contains("hugepageLimits"), "{refusal}");
    let zero = pod.run_with("true", |oci| {
        oci["linux"]["resources"]["hugepageLimits"] = json!([{ "pageSize": "3MB", "limit": 0 }]);
    });
    assert_eq!(zero.code, 0);
}

fn nested() {
    let mut pod = pod();
    let script = "for d in /sys/fs/cgroup/*/; do mkdir -p $d/a/b; done; mkdir -p /sys/fs/cgroup/freezer/a/b; sleep 1000 & \
                  echo $! >/sys/fs/cgroup/freezer/a/b/tasks; echo made; exec sleep 1000";
    let spec = pod.spec(script, |oci| {
        let mounts = oci["mounts"].as_array_mut().unwrap();
        let cgroup = mounts.iter_mut().find(|m| m["type"] == "cgroup").unwrap();
        cgroup["options"] = json!(["nosuid", "noexec", "nodev", "rw"]);
    });
    let (mut container, launched) = pod.start(&spec);
    eventually("its cgroups", || {
        let dirs = cgroup_dirs(&format!("{}/{}/a/b", pod.cgroup, spec.id)).unwrap();
        dirs.iter().any(|d| {
            d.to_string_lossy().contains("freezer") && fs::read_to_string(d.join("tasks")).unwrap().lines().count() == 1
        })
    })
    .unwrap();
    container.signal_all(9).unwrap();
    end(launched);
    container.remove().unwrap();
    assert_eq!(cgroup_dirs(&format!("{}/{}", pod.cgroup, spec.id)).unwrap(), Vec::<std::path::PathBuf>::new());
}
