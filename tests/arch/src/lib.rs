//! Tests of the architecture: dependency directions, circles of files, house rules, shipped manifests.
//!
//! The library reads the workspace; what must hold stands in `tests/`, one subject a file.

pub mod circles;
mod workspace;

pub use workspace::{Kind, Member, built_with, members, root, sources};
