//! The same spec by runc.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::bed::{Bed, pod};

pub const CASES: &[cofferdam_test_support::gate::Case] = &[("status_and_mounts_are_as_runc_makes_them", same)];

const VIEW: &str = "grep -E '^(Cap|NoNewPrivs|Uid|Gid|Groups|Sig(Blk|Ign|Cgt))' /proc/self/status; \
                    awk '{ sub(/ - /, \" \"); print $5, $6 }' /proc/self/mountinfo | grep -v ' /sys/fs/cgroup' | sort; \
                    ls -l /dev | awk '{ print $1, $3, $4, $NF }'; ulimit -n; umask; cat /proc/self/oom_score_adj";

fn same() {
    for root in [true, false] {
        let mut pod = pod();
        let change = |oci: &mut Value| {
            oci["process"]["noNewPrivileges"] = json!(!root);
            oci["process"]["user"] = json!({ "uid": if root { 0 } else { 5 }, "gid": 6, "additionalGids": [7] });
            oci["process"]["oomScoreAdj"] = json!(100);
            oci["process"]["rlimits"] = json!([{ "type": "RLIMIT_NOFILE", "soft": 100, "hard": 200 }]);
        };
        let ours = pod.run_with(VIEW, change);
        assert_eq!(ours.err, "");
        assert_eq!(interesting(&ours.out), interesting(&runc(&pod, change)));
    }
}

/// Without what differs by design: runc covers files by the container's /dev/null, keeps ignored what its caller
/// ignores, and leaves the directory of the cgroups writable.
fn interesting(view: &str) -> Vec<String> {
    let masked = ["/proc/kcore", "/proc/keys", "/proc/timer_list"];
    let line = |line: &str| match line.split_once(' ') {
        Some((path, _)) if masked.contains(&path) => path.to_owned(),
        _ => line.to_owned(),
    };
    view.lines().filter(|line| !line.starts_with("SigIgn") && !line.starts_with("/sys/fs/cgroup ")).map(line).collect()
}

fn runc(pod: &Bed, change: impl FnOnce(&mut Value)) -> String {
    let bundle = pod.node.dir().join("bundle");
    fs::create_dir(&bundle).unwrap();
    let spec = pod.spec(VIEW, change);
    let mut oci = serde_json::to_value(&spec.oci).unwrap();
    oci["linux"]["namespaces"] =
        json!(["pid", "mount", "ipc", "uts", "network", "cgroup"].map(|kind| json!({ "type": kind })));
    oci["hostname"] = json!("web-0");
    oci["root"]["path"] = json!(pod.node.layer());
    oci["linux"]["cgroupsPath"] = json!(format!("{}/runc", pod.cgroup));
    fs::write(bundle.join("config.json"), oci.to_string()).unwrap();
    let root = pod.node.dir().join("runc");
    let out =
        Command::new("runc").arg("--root").arg(&root).args(["run", "--bundle"]).arg(&bundle).arg("oracle").output();
    let out = out.expect("runc of Debian");
    assert!(out.status.success(), "runc: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}
