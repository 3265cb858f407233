//! Pods that share a PID namespace.

use std::fs;
use std::os::fd::AsRawFd;

use cofferdam_test_support::eventually;

use crate::bed::{Bed, Wish, add_caps, end, exec_spec};

pub const CASES: &[cofferdam_test_support::gate::Case] = &[
    ("zombies_are_reaped_by_the_init", zombies),
    ("the_end_of_a_container_kills_its_children_only", ends),
    ("a_tracer_sees_no_shim_and_nothing_of_the_node", tracer),
    ("a_container_joins_anothers_pid_namespace", target),
    ("closing_waits_for_no_exec", close),
];

fn shared() -> Bed {
    Bed::new(&Wish { shared_pid: true, ..Wish::default() })
}

fn zombies() {
    let mut pod = shared();
    let script = "for i in 1 2 3 4 5; do (sleep 0.01 & ); done; sleep 0.3; grep -l 'State:.Z' /proc/[0-9]*/status; echo done; \
                  grep -E '^(Name|Cap(Prm|Bnd)|NoNewPrivs|Uid)' /proc/1/status; ls /proc/1/fd 2>&1 | wc -l; ls -a /proc/1/root 2>/dev/null | wc -l";
    let ended = pod.run(script);
    let none = "0000000000000000";
    let uid = "Uid:\t0\t0\t0\t0";
    assert!(ended.out.starts_with("done\nName:\t"), "{ended:?}");
    assert!(ended.out.contains(&format!("{uid}\nCapPrm:\t{none}\nCapBnd:\t{none}\nNoNewPrivs:\t1\n")), "{ended:?}");
}

fn ends() {
    let mut pod = shared();
    let other = pod.spec("sleep 100", |_| {});
    let (mut other_container, other_launched) = pod.start(&other);
    let spec = pod.spec("setsid sleep 1000 & setsid sleep 1000 & exit 5", |_| {});
    let (mut container, launched) = pod.start(&spec);
    assert_eq!(crate::bed::reap(&launched.pidfd), 5);
    eventually("its children go on in the pod's namespace", || container.stats().pids == Some(2)).unwrap();
    container.signal_all(9).unwrap();
    eventually("they are killed", || container.stats().pids == Some(0)).unwrap();
    container.remove().unwrap();
    assert_eq!(other_container.stats().pids, Some(1));
    let ended = end(other_container.exec(&exec_spec(&other, "ps -o args | grep -c '[s]leep'")).unwrap());
    assert_eq!(ended.out, "1\n");
    other_container.signal_all(9).unwrap();
    end(other_launched);
    other_container.remove().unwrap();
    // A program called init is PID 1 of nobody else.
    let pid =
        fs::read_to_string(format!("/proc/self/fdinfo/{}", pod.runner.init_pidfd().unwrap().as_raw_fd())).unwrap();
    assert!(pid.lines().any(|l| l.starts_with("NSpid:") && l.ends_with("\t1")), "{pid}");
}

fn tracer() {
    let mut pod = shared();
    // While others are set up and executed, one looks at all it can see: other roots, files of the node, capabilities
    // beyond those of a container, descriptors of the shim.
    let script = "while [ ! -e /stop ]; do for p in /proc/[0-9]*; do \
                  r=$(readlink $p/root); [ -n \"$r\" ] && [ \"$r\" != / ] && echo root $p $r; \
                  [ -e $p/root/SECRET-OF-THE-NODE ] && echo NODE $p; \
                  awk '$1 == \"CapEff:\" && $2 != \"00000000a80425fb\" && $2 != \"00000000a80c25fb\" && $2 != 0 { print FILENAME, $2 }' \
                    $p/status 2>/dev/null; \
                  for fd in $p/fd/*; do case $(readlink $fd) in pipe:*|socket:*|/dev/null|/go|/proc/*|'') ;; *) echo FD $(readlink $fd);; esac; done; \
                  done; echo >>/rounds; done; wc -l </rounds; ls -a /proc/1/root/ /proc/1/root/.. | sort -u";
    let secret = std::path::Path::new("/SECRET-OF-THE-NODE");
    fs::write(secret, "").unwrap();
    let spec = pod.spec(script, |oci| add_caps(oci, &["CAP_SYS_PTRACE"]));
    let (mut container, launched) = pod.start(&spec);
    let rounds = || fs::read_to_string(spec.rootfs.upper.join("rounds")).unwrap_or_default().lines().count();
    // Until it has looked often enough, which takes a busy machine more.
    for round in (0..1000).take_while(|round| *round < 40 || rounds() <= 10) {
        // With and without a program that takes CAP_SYS_ADMIN to be loaded; created ones wait.
        let mut other = pod.spec("while [ ! -e /go ]; do sleep 0.01; done", |_| {});
        other.seccomp = if round % 2 == 0 { Vec::new() } else { crate::bed::deny(u32::MAX) };
        let (mut waiting, process) = pod.runner.create(&other).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
        waiting.start().unwrap();
        end(waiting.exec(&exec_spec(&other, "touch /go")).unwrap());
        assert_eq!(end(process).code, 0);
        waiting.remove().unwrap();
    }
    end(container.exec(&exec_spec(&spec, "touch /stop")).unwrap());
    let ended = end(launched);
    fs::remove_file(secret).unwrap();
    container.remove().unwrap();
    let lines: Vec<_> = ended.out.lines().filter(|l| !l.is_empty() && !l.ends_with(':')).collect();
    assert_eq!(lines[1..], [".", ".."], "{ended:?}");
    assert!(lines[0].parse::<u32>().unwrap() > 10, "{ended:?}");
}

fn target() {
    for user in [false, true] {
        let mut pod = Bed::new(&Wish { user, ..Wish::default() });
        let spec = pod.spec("exec sleep 1234", |_| {});
        let (mut container, launched) = pod.start(&spec);
        let mut debug = pod.spec("ps -o pid,args | grep '[s]leep 1234'; readlink /proc/self/ns/pid >/tmp/ns; awk '$2==\"/proc\" {print $3, $4}' /proc/mounts | head -n 1", |_| {});
        debug.pid_target = Some(spec.id.clone());
        let ended = pod.run_spec(&debug);
        assert_eq!(ended.out.trim(), "1 sleep 1234\nproc rw,nosuid,nodev,noexec,relatime", "{ended:?}");
        let mut lost = pod.spec("true", |_| {});
        lost.pid_target = Some("nobody".into());
        assert!(pod.runner.create(&lost).unwrap_err().to_string().contains("nobody"));
        container.signal_all(9).unwrap();
        end(launched);
        container.remove().unwrap();
    }
}

fn close() {
    let mut pod = shared();
    let spec = pod.spec("sleep 100", |_| {});
    let (mut container, launched) = pod.start(&spec);
    let exec = container.exec(&exec_spec(&spec, "sleep 100")).unwrap();
    container.signal_all(9).unwrap();
    end(launched);
    container.remove().unwrap();
    // The exec was killed, and nobody has reaped it.
    pod.runner.close().unwrap();
    drop(exec);
}
