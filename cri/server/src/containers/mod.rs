//! Containers: the only place where one changes.
//!
//! [`Containers`] owns the table of containers; the states of a record, and the transitions between them, are drawn in
//! the store's `container`. Who makes them:
//!
//! | transition | by |
//! |---|---|
//! | Creating, then Created | `create`, in an operation by the container's name |
//! | Running | `start`, or a sandbox that says so after a restart of the daemon (`exits`) |
//! | Exited | `exits`, whoever learns of an exit first |
//! | Removing, then gone | `remove`, in an operation by the container's id |
//!
//! Live sandboxes are looked up and never changed here: they belong to `pods`, which stands above.

mod create;
mod exec;
mod exits;
mod image_tree;
mod log;
mod ports;
mod remove;
mod spec;
mod start;
mod state;
mod stop;
mod update;
mod users;
mod volumes;

pub(crate) use exec::exec_spec;
pub(crate) use exits::KILLED;
pub(crate) use state::Containers;
