//! What a process has and is.

use serde_json::json;

use crate::bed::{Bed, Wish, deny, end, exec_spec, pod};

pub const CASES: &[cofferdam_test_support::gate::Case] = &[
    ("hello_and_exit_code", hello),
    ("env_cwd_user_groups_umask", identity),
    ("an_environment_that_is_no_text_comes_through", bytes),
    ("a_missing_cwd_is_made_and_one_for_the_user_alone_is_entered", cwd),
    ("capabilities_are_exactly_those_asked_for", capabilities),
    ("no_new_privs_and_set_user_id", no_new_privs),
    ("the_seccomp_program_is_in_force", seccomp),
    ("a_missing_command_is_told_at_start", missing_command),
    ("limits_and_oom_score", limits),
    ("signals_and_session_are_reset", signals),
    ("host_name_sysctls_and_ipc_are_the_pods", names),
    ("a_terminal", terminal),
    ("standard_input", stdin),
];

fn hello() {
    let mut pod = pod();
    let ended = pod.run("echo hello; echo oops >&2; exit 7");
    assert_eq!((ended.code, &*ended.out, &*ended.err), (7, "hello\n", "oops\n"));
    assert_eq!(pod.run("kill -9 $$").code, 0, "PID 1 is not killed by itself");
    assert_eq!(pod.run("sh -c 'kill -9 $$'; exit $?").code, 137);
}

fn bytes() {
    let mut pod = pod();
    let packed = cofferdam_pod_api::pack_variable(b"X=\xff\xfe");
    let script = "printf %s \"$X\" | od -An -tx1";
    let spec = pod.spec(&format!("{script}; exec sleep 100"), |oci| {
        oci["process"]["env"] = json!(["PATH=/bin", packed]);
    });
    let (mut container, launched) = pod.start(&spec);
    assert_eq!(end(container.exec(&exec_spec(&spec, script)).unwrap()).out, " ff fe\n");
    assert_eq!(end(container.exec(&exec_spec(&spec, "umask")).unwrap()).out, "0022\n");
    container.signal_all(9).unwrap();
    assert_eq!(end(launched).out, " ff fe\n");
    container.remove().unwrap();
    let refusal = pod.refusal("true", |oci| oci["process"]["env"] = json!(["A=\0"]));
    assert!(refusal.to_string().contains("process.env"), "{refusal}");
}

fn identity() {
    let ended = pod().run_with("id -u; id -g; id -G; pwd; umask; env | sort; echo hi >/dev/stdout", |oci| {
        let process = &mut oci["process"];
        process["user"] = json!({ "uid": 1000, "gid": 1001, "additionalGids": [1001, 42], "umask": 0o27 });
        process["cwd"] = json!("/home");
        process["env"] = json!(["PATH=/bin", "A=1 2", "EMPTY="]);
    });
    assert_eq!(ended.err, "");
    assert_eq!(ended.out, "1000\n1001\n1001 42\n/home\n0027\nA=1 2\nEMPTY=\nPATH=/bin\nPWD=/home\nSHLVL=1\nhi\n");
}

fn cwd() {
    let mut pod = pod();
    let ended = pod.run_with("pwd; stat -c %u:%a .", |oci| oci["process"]["cwd"] = json!("/not/yet/there"));
    assert_eq!(ended.out, "/not/yet/there\n0:755\n");
    let secret = pod.node.dir().join("layer/home/own");
    std::fs::create_dir(&secret).unwrap();
    rustix::fs::chown(&secret, Some(rustix::fs::Uid::from_raw(1000)), None).unwrap();
    rustix::fs::chmod(&secret, rustix::fs::Mode::from_raw_mode(0o700)).unwrap();
    let ended = pod.run_with("pwd", |oci| {
        oci["process"]["cwd"] = json!("/home/own");
        oci["process"]["user"] = json!({ "uid": 1000, "gid": 1000 });
        oci["process"]["capabilities"] = json!({});
    });
    assert_eq!(ended.out, "/home/own\n");
}

fn capabilities() {
    let mut pod = pod();
    let show = "grep ^Cap /proc/self/status | awk '{print $2}'";
    let line = |inherited: u64, set: u64, bounding: u64, ambient: u64| {
        [inherited, set, set, bounding, ambient].map(|s| format!("{s:016x}\n")).concat()
    };
    let (chown, kill, admin) = (1, 1 << 5, 1 << 21);
    let caps = |list: &[&str]| json!(list);
    let ended = pod.run_with(show, |oci| {
        let two = caps(&["CAP_CHOWN", "CAP_KILL"]);
        oci["process"]["capabilities"] = json!({ "bounding": two, "effective": two, "permitted": two });
    });
    assert_eq!(ended.out, line(0, chown | kill, chown | kill, 0));
    // Ambient ones reach a process that is not root; no_new_privs or not.
    for no_new_privileges in [true, false] {
        let mut spec = pod.spec(show, |oci| {
            let one = caps(&["CAP_KILL"]);
            let bounding = caps(&["CAP_KILL", "CAP_SYS_ADMIN"]);
            oci["process"]["user"]["uid"] = json!(5);
            oci["process"]["noNewPrivileges"] = json!(no_new_privileges);
            oci["process"]["capabilities"] =
                json!({ "bounding": bounding, "effective": one, "permitted": one, "inheritable": one, "ambient": one });
        });
        assert_eq!(pod.run_spec(&spec).out, line(kill, kill, kill | admin, kill));
        spec = pod.spec(show, |oci| {
            oci["process"]["user"]["uid"] = json!(5);
            oci["process"]["noNewPrivileges"] = json!(no_new_privileges);
        });
        spec.seccomp = deny(u32::MAX);
        let none = pod.run_spec(&spec).out;
        assert_eq!(none.lines().nth(1), Some("0000000000000000"), "the loading of seccomp leaves CAP_SYS_ADMIN behind");
    }
    let ended = pod.run_with(show, |oci| oci["process"]["capabilities"] = json!({}));
    assert_eq!(ended.out, line(0, 0, 0, 0));
}

fn no_new_privs() {
    let mut pod = pod();
    let suid = pod.node.dir().join("layer/data/busybox");
    std::fs::copy("/bin/busybox", &suid).unwrap();
    rustix::fs::chmod(&suid, rustix::fs::Mode::from_raw_mode(0o4755)).unwrap();
    // su waits for a password; other applets give up what they were given.
    let script =
        "grep NoNewPrivs /proc/self/status; sleep 1 | /data/busybox su & sleep 0.3; grep ^Uid /proc/$!/status; wait";
    let mut uids = |on: bool| {
        pod.run_with(script, |oci| {
            oci["process"]["user"]["uid"] = json!(5);
            oci["process"]["noNewPrivileges"] = json!(on);
        })
    };
    let (on, off) = (uids(true), uids(false));
    assert!(on.out == "NoNewPrivs:\t1\n" && on.err.contains("must be suid"), "{on:?}");
    assert!(off.out.starts_with("NoNewPrivs:\t0\n") && off.out.contains("Uid:\t5\t0\t0"), "{off:?}");
}

fn seccomp() {
    let after = "while [ ! -e /done ]; do sleep 0.01; done; mkdir /y; grep ^Seccomp: /proc/self/status";
    let mkdir = 83; // x86-64; refused while everything else goes on
    for no_new_privileges in [true, false] {
        let mut pod = pod();
        let mut spec = pod.spec("mkdir /x; grep ^Seccomp: /proc/self/status; touch /done; sleep 100", |oci| {
            oci["process"]["noNewPrivileges"] = json!(no_new_privileges);
        });
        spec.seccomp = deny(mkdir);
        let (mut container, launched) = pod.start(&spec);
        let ended = end(container.exec(&exec_spec(&spec, after)).unwrap());
        assert_eq!(ended.out, "Seccomp:\t2\n");
        assert!(ended.err.contains("Operation not permitted"), "{}", ended.err);
        container.signal_all(9).unwrap();
        let ended = end(launched);
        assert_eq!((ended.code, &*ended.out), (137, "Seccomp:\t2\n"));
        assert!(ended.err.contains("Operation not permitted"), "{}", ended.err);
        container.remove().unwrap();
    }
}

fn missing_command() {
    for shared_pid in [false, true] {
        let mut pod = Bed::new(&Wish { shared_pid, ..Wish::default() });
        for (command, why) in [
            ("no-such-thing", "not found"),
            ("/etc/passwd", "denied"),
            ("/bin", "directory"),
            ("/nowhere/x", "No such file"),
        ] {
            let spec = pod.spec("", |oci| oci["process"]["args"] = json!([command]));
            let (mut container, launched) = pod.runner.create(&spec).unwrap();
            let error = container.start().unwrap_err();
            let cofferdam_container::Error::Command(text) = &error else { panic!("{error}") };
            assert!(text.contains(command) && text.contains(why), "{error}");
            assert_ne!(end(launched).code, 0);
            container.remove().unwrap();
        }
    }
}

fn limits() {
    let mut pod = pod();
    let ended = pod.run_with("ulimit -n; ulimit -Hn; cat /proc/self/oom_score_adj", |oci| {
        oci["process"]["rlimits"] = json!([{ "type": "RLIMIT_NOFILE", "soft": 100, "hard": 200 }]);
        oci["process"]["oomScoreAdj"] = json!(987);
    });
    assert_eq!(ended.out, "100\n200\n987\n");
    let own = std::fs::read_to_string("/proc/self/oom_score_adj").unwrap();
    assert_ne!(own.trim(), "987", "it leaked into the shim");
    // Where the node does not let even root lower it, the present one stays.
    let oracle = std::process::Command::new("sh")
        .args(["-c", "echo -998 >/proc/self/oom_score_adj; cat /proc/self/oom_score_adj"])
        .output()
        .unwrap();
    let ended = pod.run_with("cat /proc/self/oom_score_adj", |oci| oci["process"]["oomScoreAdj"] = json!(-998));
    assert_eq!(ended.out, String::from_utf8(oracle.stdout).unwrap());
}

fn signals() {
    // As Rust's runtime and a signalfd leave it.
    let mut set = nix::sys::signal::SigSet::empty();
    set.add(nix::sys::signal::Signal::SIGCHLD);
    set.thread_block().unwrap();
    let ended =
        pod().run_with("", |oci| oci["process"]["args"] = json!(["cat", "/proc/self/status", "/proc/self/stat"]));
    set.thread_unblock().unwrap();
    let none = "0000000000000000";
    for key in ["SigBlk", "SigIgn", "SigCgt"] {
        assert!(ended.out.contains(&format!("{key}:\t{none}\n")), "{}", ended.out);
    }
    assert!(ended.out.contains("\n1 (cat) R 0 1 1 "), "it leads its session: {}", ended.out);
}

fn names() {
    let sysctls = [("kernel.shm_rmid_forced", "1"), ("net.ipv4.ip_unprivileged_port_start", "80")];
    let sysctls = sysctls.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let mut pod = Bed::new(&Wish { sysctls, ..Wish::default() });
    let own = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let script = "hostname; cat /proc/sys/kernel/shm_rmid_forced /proc/sys/net/ipv4/ip_unprivileged_port_start; \
                  echo x >/dev/shm/x; awk '$2==\"/dev/shm\" {print $4}' /proc/mounts; ls /sys/class/net";
    let ended = pod.run(script);
    assert!(ended.out.starts_with("web-0\n1\n80\nrw,nosuid,nodev,noexec,relatime,size=1024k"), "{ended:?}");
    assert!(ended.out.ends_with("\nlo\n"), "{ended:?}");
    assert_eq!(pod.run("cat /dev/shm/x").out, "x\n", "/dev/shm is the pod's");
    assert_ne!(own, "web-0");
    assert!(pod.node.dir().join("netns").exists());
    let socket = pod.runner.socket(&"127.0.0.1:80".parse().unwrap()).unwrap();
    assert!(rustix::net::connect(&socket, &"127.0.0.1:80".parse::<std::net::SocketAddr>().unwrap()).is_err());
}

fn terminal() {
    let mut pod = pod();
    let mut spec = pod.spec(
        "tty; stat -c %u /dev/pts/0; echo >/dev/console; ls -l /proc/$$/fd | grep -c pts; exec 3</dev/tty && echo own",
        |oci| {
            oci["process"]["user"]["uid"] = json!(1000);
            oci["process"]["terminal"] = json!(true);
        },
    );
    spec.stdio.terminal = true;
    let ended = pod.run_spec(&spec);
    assert_eq!(ended.out.replace('\r', ""), "/dev/pts/0\n1000\n\n3\nown\n");
    let spec = pod.spec("sleep 100", |_| {});
    let (mut container, launched) = pod.start(&spec);
    let mut exec = exec_spec(&spec, "tty; exec 3</dev/tty && echo own");
    exec.process.set_terminal(Some(true));
    assert_eq!(end(container.exec(&exec).unwrap()).out.replace('\r', ""), "/dev/pts/0\nown\n");
    container.signal_all(9).unwrap();
    end(launched);
    container.remove().unwrap();
}

fn stdin() {
    use std::io::Write;
    let mut pod = pod();
    let mut spec = pod.spec("cat", |_| {});
    spec.stdio.stdin = true;
    let (mut container, mut launched) = pod.start(&spec);
    if let cofferdam_container::LaunchedStreams::Pipes { stdin, .. } = &mut launched.streams {
        std::fs::File::from(stdin.take().unwrap()).write_all(b"through").unwrap();
    }
    assert_eq!(end(launched).out, "through");
    container.remove().unwrap();
}
