//! Namespace sandboxes against the kernel, with the real shim.
// A test that unwraps fails with the line it is about.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "kernel/bed.rs"]
mod bed;
#[path = "kernel/death.rs"]
mod death;
#[path = "kernel/life.rs"]
mod life;
