//! The profile against that of containerd: every difference has its reason here.

use std::collections::{BTreeMap, BTreeSet};

use cofferdam_test_support::{containerd_seccomp, needs};

use crate::profile::{BY_CAPABILITY, runtime_default};

/// Calls that only one of the two allows: the capability that they go with (none: always), the calls, why.
const OURS: [(&str, &str, &str); 6] = [
    ("", "chroot", "the kernel asks for the capability, and a pod's user namespace has it"),
    ("", "kcmp pidfd_getfd process_madvise", "the kernel checks access to the other process as for ptrace"),
    ("", "signal sigpending sigsuspend", "of 32-bit programs, beside the ones with rt_ that both allow"),
    ("", "riscv_hwprobe", "no other architecture has it, and the list is one for all"),
    ("CAP_SYS_ADMIN", "pivot_root", "goes with the mounts that the capability is for"),
    ("CAP_SYS_NICE", "migrate_pages move_pages", "go with the memory policies that the capability is for"),
];
const THEIRS: [(&str, &str, &str); 2] = [
    (
        "CAP_SYS_PTRACE",
        "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace",
        "allowed here without the capability, as ptrace is by both since Linux 4.8",
    ),
    ("CAP_SYS_CHROOT", "chroot", "allowed here without the capability, for which the kernel asks"),
];

type Calls = BTreeMap<String, BTreeSet<String>>;

/// The names in containerd's source, by capability. Of architectures only what x86-64 has.
fn theirs(source: &str) -> Calls {
    let (mut calls, mut key, mut in_profile) = (Calls::new(), String::new(), false);
    for line in source.lines().map(str::trim) {
        if line.starts_with("func DefaultProfile") {
            (in_profile, key) = (true, String::new());
        }
        if let Some(label) = line.strip_prefix("case \"").and_then(|rest| rest.strip_suffix(':')) {
            let x86 = label.split('"').any(|word| word == "amd64");
            key = if x86 { String::new() } else { label.trim_end_matches('"').to_owned() };
        } else if line.starts_with("if !admin") {
            // Conditions of clone and clone3, which the other tests are about.
            break;
        }
        if in_profile && (line.starts_with('"') || line.starts_with("Names:")) {
            // personality(2) has conditions in both.
            let names = line.split('"').skip(1).step_by(2).filter(|name| *name != "personality");
            calls.entry(key.clone()).or_default().extend(names.map(str::to_owned));
        }
    }
    calls.retain(|key, _| key.is_empty() || key.starts_with("CAP_"));
    calls
}

fn ours() -> Calls {
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<BTreeSet<_>>();
    let mut calls: Calls = BY_CAPABILITY.iter().map(|(cap, text)| (cap.to_string(), words(text))).collect();
    let mut always: BTreeSet<String> = runtime_default(&[]).allow.iter().map(|name| name.to_string()).collect();
    // Here families are checked by the prologue; there they are the condition of a rule of its own.
    always.remove("socket");
    calls.insert(String::new(), always);
    calls
}

fn flat(calls: &Calls) -> BTreeSet<(String, String)> {
    calls.iter().flat_map(|(key, names)| names.iter().map(move |name| (key.clone(), name.clone()))).collect()
}

fn listed(list: &[(&str, &str, &str)]) -> BTreeSet<(String, String)> {
    let of = |(cap, names, _): &(&str, &str, &str)| {
        names.split_whitespace().map(|name| (cap.to_string(), name.to_owned())).collect::<Vec<_>>()
    };
    list.iter().flat_map(of).collect()
}

#[needs(network)]
#[test]
fn what_differs_from_containerds_profile_is_listed_with_its_reason() {
    let source = std::fs::read_to_string(containerd_seccomp().unwrap()).unwrap();
    let (theirs, ours) = (flat(&theirs(&source)), flat(&ours()));
    assert!(theirs.len() > 300, "the source is read: {}", theirs.len());
    let only_ours: BTreeSet<_> = ours.difference(&theirs).cloned().collect();
    let only_theirs: BTreeSet<_> = theirs.difference(&ours).cloned().collect();
    assert_eq!(only_ours, listed(&OURS));
    assert_eq!(only_theirs, listed(&THEIRS));
}
