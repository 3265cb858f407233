//! Whether the sources of a container's mounts are its pod's own volumes and files.
//!
//! Each source is opened once. What is open is judged, and what is open is mounted: a path is not looked up a second
//! time, so nobody can put something else there meanwhile.

mod judge;
mod mounts;
mod sources;

pub(crate) use sources::{Source, open};
