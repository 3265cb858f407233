//! The comparison itself, one family of cases a file. Needs root, and containerd and runc as tests/setup/go.sh builds
//! them.

#![allow(clippy::unwrap_used, clippy::panic)]

mod errors;
mod rootfs;
mod sees;
mod status;

/// The program that looks around inside containers.
const PROBE: &str = env!("CARGO_BIN_EXE_probe");
