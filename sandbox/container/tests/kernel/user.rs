//! Pods with a user namespace.

use std::fs;
use std::os::unix::fs::MetadataExt;

use serde_json::json;

use crate::bed::{Bed, MAPPED, Wish, bind, end, exec_spec};

pub const CASES: &[cofferdam_test_support::gate::Case] = &[
    ("ids_are_mapped_in_root_and_volumes", mapped),
    ("a_user_namespace_with_a_shared_pid_namespace", shared),
    ("root_inside_is_nobody_outside", nobody),
];

fn mapped() {
    let mut pod = Bed::new(&Wish { user: true, ..Wish::default() });
    let volume = pod.node.dir().join("volume");
    fs::create_dir(&volume).unwrap();
    fs::write(volume.join("old"), "").unwrap();
    rustix::fs::chown(volume.join("old"), Some(rustix::fs::Uid::from_raw(7)), None).unwrap();
    let map = json!([{ "containerID": 0, "hostID": MAPPED, "size": 65536 }]);
    let script = "cat /proc/self/uid_map; stat -c %u:%g /bin/busybox /data /data/old; touch /new /data/new; chown 7:8 /new; \
                  stat -c %u:%g /new /data/new; touch /dev/shm/x && stat -c %u /dev/shm /dev/shm/x; stat -c %u /proc/1 /dev/null /sys";
    let spec = pod.spec(script, |oci| {
        bind(oci, &volume, "/data", &["rbind", "rw"]);
        let mount = oci["mounts"].as_array_mut().unwrap().last_mut().unwrap();
        mount["uidMappings"] = map.clone();
        mount["gidMappings"] = map;
    });
    let ended = pod.run_spec(&spec);
    assert_eq!(ended.err, "");
    let words: Vec<_> = ended.out.split_whitespace().collect();
    assert_eq!(words[..3], ["0", "1000000", "65536"]);
    assert_eq!(words[3..], ["0:0", "0:0", "7:0", "7:8", "0:0", "0", "0", "0", "65534", "65534"], "{ended:?}");
    // On the node: the root file system's are in the pod's range, a mapped volume's are plain.
    let owner = |path: std::path::PathBuf| fs::metadata(path).map(|m| (m.uid(), m.gid())).unwrap();
    assert_eq!(owner(spec.rootfs.upper.join("new")), (MAPPED + 7, MAPPED + 8));
    assert_eq!(owner(volume.join("new")), (0, 0));
    assert_eq!(owner(pod.node.dir().join("layer/bin/busybox")), (0, 0));
}

fn shared() {
    let mut pod = Bed::new(&Wish { user: true, shared_pid: true, ..Wish::default() });
    let spec = pod.spec("sleep 100", |_| {});
    let (mut container, launched) = pod.start(&spec);
    let script =
        "id -u; ps -o pid | grep -c '^ *1$'; awk '{print $2}' /proc/self/uid_map; awk '{print $2}' /proc/1/uid_map";
    let ended = end(container.exec(&exec_spec(&spec, script)).unwrap());
    assert_eq!(ended.out, format!("0\n1\n{MAPPED}\n{MAPPED}\n"));
    container.signal_all(9).unwrap();
    end(launched);
    container.remove().unwrap();
}

fn nobody() {
    let mut pod = Bed::new(&Wish { user: true, ..Wish::default() });
    let spec =
        pod.spec("sleep 100", |oci| crate::bed::add_caps(oci, &["CAP_SYS_ADMIN", "CAP_NET_ADMIN", "CAP_SYS_PTRACE"]));
    let (mut container, launched) = pod.start(&spec);
    let status = fs::read_to_string(format!("/proc/{}/status", launched.pid)).unwrap();
    let line = |key: &str| status.lines().find(|l| l.starts_with(key)).unwrap().to_owned();
    assert_eq!(line("Uid:"), format!("Uid:\t{MAPPED}\t{MAPPED}\t{MAPPED}\t{MAPPED}"));
    assert_eq!(line("Gid:"), format!("Gid:\t{MAPPED}\t{MAPPED}\t{MAPPED}\t{MAPPED}"));
    assert_eq!(line("Groups:").trim_end(), "Groups:");
    // Its own network, and nothing of the node's.
    let script = "mount -t tmpfs x /tmp && echo mounted; mount -o remount,rw /proc/sys; echo 1 >/proc/sys/kernel/printk; umount /proc/sys; umount /proc/kcore";
    let ended = end(container.exec(&exec_spec(&spec, script)).unwrap());
    assert_eq!(ended.out, "mounted\n");
    container.signal_all(9).unwrap();
    end(launched);
    container.remove().unwrap();
}
