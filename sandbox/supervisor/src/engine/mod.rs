//! The local backend: containers and execs that are children of this process, in a shim or in a guest.
//!
//! ```text
//! container:  (create) Created ──start──> Running ──process ends──> Exited ──delete──> (gone)
//!                         └──process ends / delete────────────────────┘
//! ```
//! Only this module changes a container's state. An exit is published in this order: the rest of the cgroup is killed,
//! the output is read to its end, the log is complete, the record is durable, the event goes out, attached streams end.
//!
//! `state` holds it all, and each kind of work has a file: `adopt` (new processes), `input` and `output` (bytes),
//! `ending` (the ends of processes, streams and the sandbox), `containers`, `open` and `dial` (requests on containers,
//! on streams and on ports). `backend` takes what the event loop brings. Bytes that come to an end do not end processes
//! or streams themselves: they leave a note, and after each event `ending` looks at the notes.

mod adopt;
mod backend;
mod containers;
mod dial;
mod ending;
mod guest;
mod input;
mod open;
mod output;
mod process;
mod runner;
mod sink;
mod state;
mod stream;

pub use guest::Guest;
pub use runner::{ContainerHandle, Runner};
pub use state::Engine;
