//! The runner against the kernel: containers of busybox, as root, one case after the other in a process without threads
//! (the runner forks). runc is the oracle where it has the same to do.
// A test that unwraps fails with the line it is about.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

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
#[path = "kernel/volumes.rs"]
mod volumes;

use cofferdam_test_support::gate::forking_main;

fn main() {
    forking_main(&[
        process::CASES,
        files::CASES,
        cgroups::CASES,
        exec::CASES,
        shared::CASES,
        user::CASES,
        escape::CASES,
        oracle::CASES,
        v2::CASES,
        volumes::CASES,
    ]);
}
