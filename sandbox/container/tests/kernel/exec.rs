//! More processes in a running container.

use std::fs;

use serde_json::json;

use cofferdam_test_support::eventually;

use crate::bed::{Bed, Wish, bind, end, exec_spec, pod};

pub const CASES: &[cofferdam_test_support::gate::Case] = &[
    ("exec_has_what_the_container_has", same),
    ("exec_of_a_missing_command_or_directory", missing),
    ("exec_as_another_user", other_user),
    ("exec_in_every_kind_of_pod", kinds),
];

const VIEW: &str = "grep -E '^(Cap|NoNewPrivs|Seccomp:|Uid|Groups|Sig(Blk|Ign))' /proc/self/status; for n in /proc/self/ns/*; do readlink $n; done | sort; \
                    cat /proc/self/cgroup /proc/self/oom_score_adj; umask; env | sort; pwd; readlink /proc/self/root";

fn same() {
    for (shared_pid, user) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut pod = Bed::new(&Wish { shared_pid, user, ..Wish::default() });
        let volume = pod.node.dir().join("volume");
        fs::create_dir(&volume).unwrap();
        rustix::fs::chmod(&volume, rustix::fs::Mode::from_raw_mode(0o777)).unwrap();
        let mut spec =
            pod.spec(&format!("({VIEW}) >/data/first.new; cd /data; cat first.new >first; sleep 100"), |oci| {
                bind(oci, &volume, "/data", &["rbind", "rw"]);
                oci["process"]["oomScoreAdj"] = json!(500);
            });
        spec.seccomp = crate::bed::deny(u32::MAX);
        let (mut container, launched) = pod.start(&spec);
        eventually("the first process's view", || {
            fs::read_to_string(volume.join("first")).is_ok_and(|text| text.contains("PATH") && text.ends_with("/\n"))
        })
        .unwrap();
        let exec = end(container.exec(&exec_spec(&spec, &format!("({VIEW}) >/data/second"))).unwrap());
        assert_eq!((exec.code, &*exec.err), (0, ""));
        let views = ["first", "second"].map(|name| fs::read_to_string(volume.join(name)).unwrap());
        assert_eq!(views[0], views[1], "shared: {shared_pid}, user: {user}");
        container.signal_all(9).unwrap();
        end(launched);
        container.remove().unwrap();
    }
}

fn missing() {
    let mut pod = pod();
    let spec = pod.spec("sleep 100", |_| {});
    let (mut container, launched) = pod.start(&spec);
    let mut exec = exec_spec(&spec, "");
    exec.process.set_args(Some(vec!["no-such-thing".into()]));
    let error = container.exec(&exec).unwrap_err();
    assert!(matches!(&error, cofferdam_container::Error::Command(text) if text.contains("no-such-thing")), "{error}");
    let mut exec = exec_spec(&spec, "true");
    exec.process.set_cwd("/not/there".into());
    let error = container.exec(&exec).unwrap_err();
    assert!(error.to_string().contains("/not/there"), "{error}");
    container.signal_all(9).unwrap();
    end(launched);
    let error = container.exec(&exec_spec(&spec, "true")).unwrap_err();
    assert!(error.to_string().contains("join the container"), "{error}");
    container.remove().unwrap();
}

fn other_user() {
    let mut pod = pod();
    let spec = pod.spec("sleep 100", |_| {});
    let (mut container, launched) = pod.start(&spec);
    let mut exec = exec_spec(&spec, "id -u; id -G; echo x >/dev/stderr");
    exec.process.user_mut().set_uid(7).set_gid(8);
    let ended = end(container.exec(&exec).unwrap());
    assert_eq!((&*ended.out, &*ended.err), ("7\n8\n", "x\n"));
    container.signal_all(9).unwrap();
    end(launched);
    container.remove().unwrap();
}

fn kinds() {
    let mut pod = Bed::new(&Wish { host: true, ..Wish::default() });
    let spec = pod.spec("hostname; sleep 100", |_| {});
    let (mut container, launched) = pod.start(&spec);
    let ended = end(container
        .exec(&exec_spec(&spec, "hostname; readlink /proc/self/ns/pid; readlink /proc/self/ns/net"))
        .unwrap());
    let own = |name: &str| fs::read_link(format!("/proc/self/ns/{name}")).unwrap().display().to_string();
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    assert_eq!(ended.out, format!("{host}\n{}\n{}\n", own("pid"), own("net")));
    container.signal_all(9).unwrap();
    end(launched);
    container.remove().unwrap();
}
