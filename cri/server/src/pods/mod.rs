//! Pod sandboxes: the only place where one changes.
//!
//! [`Pods`] owns the table of sandboxes and the live ones; the states of a record, and the transitions between them,
//! are drawn in the store's `sandbox`. Who makes them:
//!
//! | transition | by |
//! |---|---|
//! | Creating, then Ready and live | `run`, in an operation by the pod's name |
//! | live again after a restart of the daemon | `recover` |
//! | no longer live, then NotReady | `stop`, or `watch` when the sandbox died by itself |
//! | released | `release`, until it succeeds |
//! | Removing, then gone | `remove`, in an operation by the sandbox's id |
//!
//! `pods` stands above `containers`: it ends and removes a pod's containers by their own lifecycle.

mod files;
mod policy;
mod recover;
mod release;
mod remove;
mod run;
mod state;
mod stop;
mod undo;
mod watch;

pub(crate) use state::Pods;
