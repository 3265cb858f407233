//! The local backend: containers and execs that are children of this process, in a shim or in a guest.
//!
//! ```text
//! container:  (create) Created ──start──> Running ──process ends──> Exited ──delete──> (gone)
//!                         └──process ends / delete────────────────────┘
//! ```
//! Only this module changes a container's state. An exit is published in this order: the rest of the cgroup is killed, the
//! output is read to its end, the log is complete, the record is durable, the event goes out, attached streams end.
//!
//! `state` holds it all, `backend` takes what the event loop brings, and each kind of work has a file: `containers` (the
//! requests on containers), `open` (the requests that open streams), `input` and `output` (bytes), `ending` (the ends of
//! processes, streams and the sandbox).

mod backend;
mod containers;
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
