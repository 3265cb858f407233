//! The runner against the kernel: containers of busybox, as root, one case after the other in a process without threads (the runner
//! forks). runc is the oracle where it has the same to do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test that unwraps fails with the line it is about.

#[path = "kernel/bed.rs"]
mod bed;
#[path = "kernel/cgroups.rs"]
mod cgroups;
#[path = "kernel/escape.rs"]
mod escape;
#[path = "kernel/exec.rs"]
mod exec;
#[path = "kernel/files.rs"]
mod files;
#[path = "kernel/oracle.rs"]
mod oracle;
#[path = "kernel/process.rs"]
mod process;
#[path = "kernel/shared.rs"]
mod shared;
#[path = "kernel/user.rs"]
mod user;
#[path = "kernel/v2.rs"]
mod v2;

use std::panic::{AssertUnwindSafe, catch_unwind};

type Case = (&'static str, fn());

fn main() {
    let root = rustix::process::geteuid().is_root();
    assert!(root || std::env::var_os("CI").is_none(), "needs root");
    let groups: [&[Case]; 9] = [
        process::CASES,
        files::CASES,
        cgroups::CASES,
        exec::CASES,
        shared::CASES,
        user::CASES,
        escape::CASES,
        oracle::CASES,
        v2::CASES,
    ];
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let cases = groups
        .into_iter()
        .flatten()
        .filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|w| name.contains(w.as_str())));
    let (mut passed, mut failed, mut ignored) = (0, 0, 0);
    for (name, case) in cases {
        let result = match root {
            false => "ignored, needs root",
            true if catch_unwind(AssertUnwindSafe(case)).is_ok() => "ok",
            true => "FAILED",
        };
        match result {
            "ok" => passed += 1,
            "FAILED" => failed += 1,
            _ => ignored += 1,
        }
        println!("test {name} ... {result}");
    }
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {verdict}. {passed} passed; {failed} failed; {ignored} ignored; 0 measured; 0 filtered out"
    );
    if failed > 0 {
        std::process::exit(101);
    }
}
