//! What a container sees of files and devices.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;

use crate::bed::{Bed, Wish, bind, pod};

pub const CASES: &[cofferdam_test_support::gate::Case] = &[
    ("a_read_only_root", read_only_root),
    ("masked_and_read_only_paths", masked),
    ("mounts_stay_inside_the_root", inside),
    ("read_only_binds_plain_and_recursive", binds),
    ("nothing_is_mounted_over_proc", proc),
    ("devices", devices),
    ("propagation", propagation),
    ("cgroups_are_its_own_and_read_only", cgroups),
];

fn read_only_root() {
    let mut pod = pod();
    let script = "touch /x; touch /tmp/x; touch /dev/shm/x && echo shm; touch /dev/x && echo dev";
    let ended = pod.run_with(script, |oci| oci["root"]["readonly"] = json!(true));
    assert_eq!(ended.out, "shm\ndev\n");
    assert_eq!(ended.err.matches("Read-only file system").count(), 2, "{}", ended.err);
    assert_eq!(pod.run("touch /x && echo done").out, "done\n");
}

fn masked() {
    let files =
        ["/proc/kcore", "/proc/timer_list", "/proc/keys"].into_iter().filter(|f| fs::exists(f).unwrap()).count();
    assert!(files > 0, "this kernel has none of them");
    for wish in [Wish::default(), Wish { shared_pid: true, ..Wish::default() }, Wish { user: true, ..Wish::default() }]
    {
        let script = "for f in /proc/kcore /proc/timer_list /proc/keys; do [ ! -e $f ] || head -c 1 $f | wc -c; done; \
                      ls /sys/firmware | wc -l; \
                      echo 1 >/proc/sys/kernel/printk; touch /sys/x; touch /proc/irq/default_smp_affinity";
        let ended = Bed::new(&wish).run(script);
        assert_eq!(ended.out, "0\n".repeat(files + 1), "{}", ended.err);
        assert_eq!(ended.err.matches("Read-only file system").count(), 3, "{}", ended.err);
    }
}

fn inside() {
    let mut pod = pod();
    let source = pod.node.dir().join("source");
    fs::write(&source, "bound").unwrap();
    let layer = pod.node.layer();
    let outside = pod.node.dir().join("outside");
    fs::create_dir(&outside).unwrap();
    let up = "../".repeat(20);
    symlink(format!("{up}{}", outside.display()), layer.join("up")).unwrap();
    symlink(&outside, layer.join("absolute")).unwrap();
    symlink(format!("/proc/self/cwd/{up}"), layer.join("magic")).unwrap();
    let ended = pod.run_with("cat /up/a /absolute/b /data/c", |oci| {
        ["/up/a", "/absolute/b", "/data/c"].into_iter().for_each(|at| bind(oci, &source, at, &["rbind", "ro"]));
    });
    assert_eq!(ended.out, "boundboundbound", "{}", ended.err);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    let refusal = pod.refusal("true", |oci| bind(oci, &source, "/data/../../x", &[]));
    assert!(refusal.to_string().contains("holds .."), "{refusal}");
    let refusal = pod.refusal("true", |oci| bind(oci, &source, "/magic/x", &[]));
    assert!(refusal.to_string().contains("/magic/x") || refusal.to_string().contains("/proc"), "{refusal}");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

fn binds() {
    let mut pod = pod();
    let volume = pod.node.dir().join("volume");
    fs::create_dir_all(volume.join("sub")).unwrap();
    rustix::mount::mount("tmpfs", volume.join("sub"), "tmpfs", rustix::mount::MountFlags::empty(), None).unwrap();
    let script = "touch /data/a && echo top; touch /data/sub/a && echo sub";
    let mut run = |options: &[&str]| {
        let ended = pod.run_with(script, |oci| bind(oci, &volume, "/data", options));
        ended.out
    };
    let results = [run(&["rbind", "rw"]), run(&["rbind", "ro"]), run(&["rbind", "rro"]), run(&["bind", "ro"])];
    rustix::mount::unmount(volume.join("sub"), rustix::mount::UnmountFlags::empty()).unwrap();
    assert_eq!(results, ["top\nsub\n", "sub\n", "", ""]);
}

fn proc() {
    let mut pod = pod();
    let source = pod.node.dir().join("source");
    fs::create_dir(&source).unwrap();
    for at in ["/proc", "/proc/sys", "/proc/self/attr"] {
        let refusal = pod.refusal("true", |oci| bind(oci, &source, at, &["rbind"]));
        assert!(refusal.to_string().contains("/proc"), "{refusal}");
    }
    // An image whose /proc is a link would put procfs where its protection does not look.
    fs::remove_dir(pod.node.dir().join("layer/proc")).unwrap();
    symlink("/data", pod.node.dir().join("layer/proc")).unwrap();
    let refusal = pod.refusal("true", |_| {});
    assert!(refusal.to_string().contains("symbolic link"), "{refusal}");
}

fn devices() {
    for user in [false, true] {
        let mut pod = Bed::new(&Wish { user, ..Wish::default() });
        let script = "echo x >/dev/null; head -c 4 /dev/zero | wc -c; head -c 4 /dev/urandom | wc -c; \
                      echo x 2>/dev/null >/dev/full || echo full; head -c 1 /dev/fuse 2>/dev/null; echo $?; \
                      for l in fd stdin ptmx; do readlink /dev/$l; done; stat -c '%t:%T %a' /dev/kmsg";
        let ended = pod.run_with(script, |oci| {
            oci["linux"]["devices"] =
                json!([{ "path": "/dev/kmsg", "type": "c", "major": 1, "minor": 11, "fileMode": 0o600 }]);
        });
        let mode = if user { "644" } else { "600" };
        let kmsg = ended.out.lines().last().unwrap_or_default().to_owned();
        assert!(ended.out.starts_with("4\n4\nfull\n1\n/proc/self/fd\n/proc/self/fd/0\npts/ptmx\n1:b "), "{ended:?}");
        assert!(user || kmsg.ends_with(mode), "{kmsg}");
    }
    // Made and present, but not allowed: by mknod of the container's own, too.
    let ended = pod().run("mknod /tmp/disk b 254 0 && cat /tmp/disk >/dev/null");
    assert!(ended.err.contains("not permitted"), "{ended:?}");
    let ended = pod().run_with("head -c 1 /dev/kmsg >/dev/null && echo read; echo x >/dev/kmsg", |oci| {
        crate::bed::add_caps(oci, &["CAP_SYSLOG"]);
        oci["linux"]["devices"] = json!([{ "path": "/dev/kmsg", "type": "c", "major": 1, "minor": 11, "fileMode": 0o666 }]);
        oci["linux"]["resources"]["devices"] =
            json!([{ "allow": false, "access": "rwm" }, { "allow": true, "type": "c", "major": 1, "minor": 11, "access": "r" }]);
    });
    assert!(!ended.err.contains("head") && ended.err.contains("not permitted"), "{ended:?}");
}

fn propagation() {
    let mut pod = pod();
    let volume = pod.node.dir().join("volume");
    fs::create_dir_all(volume.join("late")).unwrap();
    rustix::mount::mount_bind(&volume, &volume).unwrap();
    rustix::mount::mount_change(&volume, rustix::mount::MountPropagationFlags::SHARED).unwrap();
    let mut seen = |option: &str| {
        let spec = pod.spec("while [ ! -e /data/go ]; do sleep 0.02; done; ls /data/late", |oci| {
            bind(oci, &volume, "/data", &["rbind", option]);
        });
        let (mut container, launched) = pod.start(&spec);
        rustix::mount::mount("tmpfs", volume.join("late"), "tmpfs", rustix::mount::MountFlags::empty(), None).unwrap();
        fs::write(volume.join("late/new"), "").unwrap();
        fs::write(volume.join("go"), "").unwrap();
        let out = crate::bed::end(launched).out;
        container.remove().unwrap();
        fs::remove_file(volume.join("go")).unwrap();
        rustix::mount::unmount(volume.join("late"), rustix::mount::UnmountFlags::empty()).unwrap();
        out
    };
    let results = [seen("rprivate"), seen("rslave"), seen("rshared")];
    // From the container to the node, only where it is shared.
    let mut back = |option: &str| {
        let ended = pod.run_with("mount -t tmpfs x /data/late && touch /data/late/mine", |oci| {
            crate::bed::add_caps(oci, &["CAP_SYS_ADMIN"]);
            bind(oci, &volume, "/data", &["rbind", option]);
        });
        assert_eq!(ended.code, 0, "{ended:?}");
        let seen = volume.join("late/mine").exists();
        let _ = rustix::mount::unmount(volume.join("late"), rustix::mount::UnmountFlags::DETACH);
        seen
    };
    let back = [back("rslave"), back("rshared")];
    rustix::mount::unmount(&volume, rustix::mount::UnmountFlags::DETACH).unwrap();
    assert_eq!(results, ["", "new\n", "new\n"]);
    assert_eq!(back, [false, true]);
}

fn cgroups() {
    let mut pod = pod();
    let ended = pod.run("cat /proc/self/cgroup | grep -v '^0::' | awk -F: '$3 != \"/\"'; ls /sys/fs/cgroup | wc -l; for d in /sys/fs/cgroup/*/; do mkdir $d/x; done");
    assert!(!ended.out.contains(&pod.cgroup) && ended.out.trim() != "0", "{ended:?}");
    assert!(ended.err.contains("Read-only file system"), "{ended:?}");
}
