//! What a set-up does in volumes: names in them change while it runs, since other containers share them, and they may
//! be directories of the node.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use cofferdam_sys::process::{Spawned, spawn};
use rustix::fs::{CWD, FileType, Mode, RenameFlags, makedev, mknodat, renameat_with};
use rustix::process::{Signal, pidfd_send_signal};
use serde_json::{Value, json};

use crate::bed::{Bed, Wish, bind, end, pod, reap};

pub const CASES: &[cofferdam_test_support::gate::Case] = &[
    ("names_that_are_swapped_lead_nowhere", swapped),
    ("a_volume_at_dev_stays_as_it_is", dev),
    ("a_device_in_a_volume_is_mounted_on_what_exists", device),
    ("a_volume_over_a_device_of_the_container_is_left_alone", over),
    ("what_is_made_has_its_mode_whatever_the_umask", modes),
    ("a_volume_that_is_shared_with_the_node_gets_no_terminal", console),
];

/// The container's `/dev` is a volume.
fn dev_volume(oci: &mut Value, dir: &Path, propagation: &str) {
    let mount =
        json!({ "destination": "/dev", "type": "bind", "source": dir, "options": ["rbind", "rw", propagation] });
    oci["mounts"].as_array_mut().unwrap()[1] = mount;
}

fn asked_device(oci: &mut Value, path: &str) {
    oci["linux"]["devices"] =
        json!([{ "path": path, "type": "c", "major": 1, "minor": 3, "fileMode": 0o666, "uid": 7, "gid": 7 }]);
}

fn node_null(at: &Path) {
    mknodat(CWD, at, FileType::CharacterDevice, Mode::from_raw_mode(0o600), makedev(1, 3)).unwrap();
}

/// Each name of a directory, with all that a change of it would show.
fn listing(dir: &Path) -> BTreeMap<PathBuf, (u64, u32, u32, u64, i64)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let of = entry.metadata().unwrap();
        found.insert(entry.path(), (of.ino(), of.mode(), of.uid(), of.rdev(), of.mtime()));
        if of.is_dir() {
            found.extend(listing(&entry.path()));
        }
    }
    found
}

/// A container that shares the volumes: it puts links to files of the node where the set-up of another one works.
fn attacker(dev: PathBuf, volume: PathBuf, file: PathBuf, dir: PathBuf) -> Spawned {
    spawn(0, None, move || {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).unwrap();
        let (link, other) = (dev.join("link"), volume.join("other"));
        symlink(&dir, &other).unwrap();
        loop {
            for name in ["null", "zero", "full", "random", "urandom", "tty", "mine", "console"] {
                let _ = symlink(&file, &link);
                let _ = fs::rename(&link, dev.join(name));
            }
            let _ = renameat_with(CWD, &other, CWD, volume.join("a"), RenameFlags::EXCHANGE);
            let _ = fs::remove_dir(volume.join("a/b"));
        }
    })
    .unwrap()
}

fn swapped() {
    let mut pod = pod();
    let [dev, volume, outside] = ["dev", "volume", "outside"].map(|name| {
        let dir = pod.node.dir().join(name);
        fs::create_dir(&dir).unwrap();
        dir
    });
    fs::create_dir(volume.join("a")).unwrap();
    for name in ["pts", "shm", "mqueue"] {
        fs::create_dir(dev.join(name)).unwrap();
    }
    let victim = pod.node.dir().join("victim");
    fs::write(&victim, "secret").unwrap();
    fs::set_permissions(&victim, fs::Permissions::from_mode(0o600)).unwrap();
    let before = fs::metadata(&victim).unwrap();
    let attacker = attacker(dev.clone(), volume.clone(), victim.clone(), outside.clone());
    for turn in 0..200 {
        let spec = pod.spec("true", |oci| {
            dev_volume(oci, &dev, "rprivate");
            bind(oci, &volume, "/volume", &["rbind"]);
            bind(oci, Path::new("/etc/hostname"), "/volume/a/b/file", &["rbind"]);
            if turn % 2 == 0 {
                asked_device(oci, "/dev/mine");
            }
        });
        // It may fail; it must not reach out.
        if let Ok((mut container, launched)) = pod.runner.create(&spec) {
            let _ = container.start();
            container.signal_all(9).unwrap();
            end(launched);
            container.remove().unwrap();
        }
    }
    pidfd_send_signal(&attacker.pidfd, Signal::KILL).unwrap();
    reap(&attacker.pidfd);
    let after = fs::metadata(&victim).unwrap();
    assert_eq!((after.mode(), after.uid(), after.gid()), (before.mode(), before.uid(), before.gid()));
    assert_eq!(fs::read(&victim).unwrap(), b"secret");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

fn dev() {
    for user in [false, true] {
        let mut pod = Bed::new(&Wish { user, ..Wish::default() });
        let dir = pod.node.dir().join("dev");
        for name in ["", "pts", "shm"] {
            fs::create_dir(dir.join(name)).unwrap();
            fs::set_permissions(dir.join(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        node_null(&dir.join("null"));
        let before = listing(&dir);
        // No place for message queues: left out. The rest is the pod's.
        let script = "ls /dev; for d in pts shm; do stat -f -c %T /dev/$d; done; [ -e /dev/mqueue ] || echo none";
        let ended = pod.run_with(script, |oci| {
            dev_volume(oci, &dir, "rprivate");
            bind(oci, Path::new("/etc/hostname"), "/dev/termination-log", &["rbind"]);
        });
        assert_eq!(ended.out, "null\npts\nshm\ndevpts\ntmpfs\nnone\n", "{ended:?}");
        assert_eq!(listing(&dir), before);
        let refusal = pod.refusal("true", |oci| {
            dev_volume(oci, &dir, "rprivate");
            bind(oci, Path::new("/etc/hostname"), "/dev/new/file", &["rbind"]);
        });
        assert!(refusal.to_string().contains("/dev/new/file"), "{refusal}");
        assert_eq!(listing(&dir), before);
    }
}

fn device() {
    let mut pod = pod();
    let dir = pod.node.dir().join("dev");
    for name in ["", "pts", "shm", "sub"] {
        fs::create_dir(dir.join(name)).unwrap();
    }
    node_null(&dir.join("same"));
    fs::write(dir.join("file"), "x").unwrap();
    symlink("/etc/hostname", dir.join("link")).unwrap();
    let before = listing(&dir);
    for (path, numbers) in [("/dev/same", "1:3 600"), ("/dev/file", "1:3 ")] {
        let ended = pod.run_with(&format!("stat -c '%t:%T %a' {path}"), |oci| {
            dev_volume(oci, &dir, "rprivate");
            asked_device(oci, path);
        });
        assert!(ended.out.starts_with(numbers), "{path}: {ended:?}");
        assert_eq!(listing(&dir), before);
    }
    for path in ["/dev/none", "/dev/none/x", "/dev/sub", "/dev/link"] {
        let refusal = pod.refusal("true", |oci| {
            dev_volume(oci, &dir, "rprivate");
            asked_device(oci, path);
        });
        let (refusal, named) = (refusal.to_string(), path.trim_end_matches("/x"));
        assert!(refusal.contains("linux.devices") && refusal.contains(named), "{refusal}");
        assert_eq!(listing(&dir), before);
    }
}

fn over() {
    let mut pod = pod();
    let file = pod.node.dir().join("file");
    node_null(&file);
    let ended = pod.run_with("stat -c '%t:%T %a' /dev/mine; echo x >/dev/mine", |oci| {
        bind(oci, &file, "/dev/mine", &["rbind"]);
        asked_device(oci, "/dev/mine");
    });
    assert_eq!((ended.out.as_str(), ended.err.as_str()), ("1:3 600\n", ""));
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
}

fn modes() {
    for (umask, shared_pid) in [(0o077, false), (0, false), (0o777, false), (0o077, true)] {
        let mut pod = Bed::new(&Wish { shared_pid, ..Wish::default() });
        let volume = pod.node.dir().join("volume");
        fs::create_dir(&volume).unwrap();
        fs::set_permissions(&volume, fs::Permissions::from_mode(0o755)).unwrap();
        let script = "for f in /new /new/at /new/at/file /work /work/dir /dev/net /dev/net/tun /dev/null /volume/sub \
                      /sys/fs/cgroup; do stat -c '%n %a' $f; done; umask";
        let spec = pod.spec(script, |oci| {
            bind(oci, Path::new("/etc/hostname"), "/new/at/file", &["rbind", "ro"]);
            bind(oci, &volume, "/volume", &["rbind"]);
            bind(oci, &volume, "/volume/sub", &["rbind"]);
            bind(oci, &volume, "/dev/shm/inside", &["rbind"]);
            asked_device(oci, "/dev/net/tun");
            oci["process"]["cwd"] = json!("/work/dir");
        });
        let before = rustix::process::umask(Mode::from_raw_mode(umask));
        let ended = pod.run_spec(&spec);
        rustix::process::umask(before);
        let lines: Vec<&str> = ended.out.lines().collect();
        let hostname = format!("/new/at/file {:o}", fs::metadata("/etc/hostname").unwrap().mode() & 0o777);
        let wanted = [
            "/new 755",
            "/new/at 755",
            &hostname,
            "/work 755",
            "/work/dir 755",
            "/dev/net 755",
            "/dev/net/tun 666",
            "/dev/null 666",
            "/volume/sub 755",
            "/sys/fs/cgroup 755",
            "0022",
        ];
        assert_eq!(lines.len(), wanted.len(), "{ended:?}");
        // A directory of cgroup2 has the mode that the kernel gives it.
        for (line, wanted) in lines.iter().zip(wanted).filter(|(line, _)| !line.contains("cgroup")) {
            assert_eq!(*line, wanted, "umask {umask:o}");
        }
    }
}

fn console() {
    let mut pod = pod();
    let dir = pod.node.dir().join("dev");
    for name in ["", "pts", "shm", "mqueue"] {
        fs::create_dir(dir.join(name)).unwrap();
    }
    fs::write(dir.join("console"), "").unwrap();
    rustix::mount::mount_bind(&dir, &dir).unwrap();
    rustix::mount::mount_change(&dir, rustix::mount::MountPropagationFlags::SHARED).unwrap();
    let mut run = |propagation: &str| {
        let mut spec = pod.spec("tty; stat -c %F /dev/console", |oci| {
            dev_volume(oci, &dir, propagation);
            oci["process"]["terminal"] = json!(true);
            let mounts = oci["mounts"].as_array_mut().unwrap();
            if propagation == "rshared" {
                // As the server asks for it: what is mounted in such a volume is mounted on the node.
                mounts
                    .retain(|m| m["destination"] == "/dev" || !m["destination"].as_str().unwrap().starts_with("/dev/"));
            }
        });
        spec.stdio.terminal = true;
        let made = pod.runner.create(&spec);
        let (mut container, launched) = made?;
        container.start()?;
        let out = end(launched).out;
        container.remove()?;
        Ok::<_, cofferdam_container::Error>(out)
    };
    let private = run("rprivate");
    let shared = run("rshared");
    let of_node = fs::metadata(dir.join("console")).unwrap().is_file();
    rustix::mount::unmount(&dir, rustix::mount::UnmountFlags::DETACH).unwrap();
    assert_eq!(private.unwrap(), "/dev/pts/0\r\ncharacter special file\r\n");
    assert!(shared.unwrap_err().to_string().contains("open a terminal"));
    assert!(of_node, "the terminal was mounted on the node");
}
