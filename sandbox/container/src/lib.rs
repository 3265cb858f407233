//! The container runner, used by shim and guest alike.
//!
//! [`PodRunner`] holds a pod's namespaces and makes its containers; [`Container`] is one of them. Nothing here enters a
//! pod's namespaces but forked children: `launch` forks, `stage` prepares as the host's root, `inside` builds the
//! container's view, `finish` takes the privileges away and executes.

mod apply;
mod cgroup;
mod check;
mod container;
mod devices;
mod error;
mod exec;
mod finish;
mod init;
mod inside;
mod launch;
mod limits;
mod namespaces;
mod options;
mod overlay;
mod place;
mod pod;
mod proc;
mod process;
mod readback;
mod resolve;
mod shm;
mod stage;
mod stats;
mod stdio;
mod terminal;
mod view;
mod wire;

pub use check::check;
pub use container::Container;
pub use error::Error;
pub use pod::PodRunner;
pub use stdio::{Launched, LaunchedStreams};
