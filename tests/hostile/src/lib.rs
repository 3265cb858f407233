//! What a hostile tenant tries, against a daemon with both kinds of sandbox.
//!
//! Each file of `tests/` is one boundary of `docs/security.md`. What needs a program of its own is an attempt of
//! `probe/probe.c`, which a pod gets in a volume.

mod pod;
mod probe;

pub use pod::{Hostile, hostile};
pub use probe::{MOUNTED, PROBE};
