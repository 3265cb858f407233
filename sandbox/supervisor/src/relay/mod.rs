//! The relay of a VM sandbox's shim: containers in a guest, behind an agent that speaks the same protocol over two
//! ports.
//!
//! ```text
//!  Off ──boot──> Greeting ──hellos──> SettingUp ──set up──> Ready ──stop──> Stopping ──> (end)
//!                   └───────── a process behind the VM ends, or the guest talks nonsense ──> dead (end)
//! ```
//! The guest is hostile. All that it sends is bounded in size, in number and in time, checked against what was asked,
//! and answered by killing the VM if it does not fit. The list of containers, their logs and their exits are kept here,
//! so what the daemon is told of them is never the guest's word alone.
//!
//! Each thing that is kept has a file: `ports` (the two of the guest), `questions` (requests that the agent has not
//! answered), `containers` (with logs and exits), `streams` (renumbered, and held to their credit), `watched` (the
//! processes behind the VM). `state` holds them together with the phase; `request` is what the daemon asks, `guest`
//! what the guest says, `ending` the end of both, and `backend` is where the event loop comes in.

mod backend;
mod containers;
mod ending;
mod guest;
mod machine;
mod ports;
mod questions;
mod request;
mod state;
mod streams;
mod watched;

pub use machine::{BootedMachine, Machine};
pub use state::Relay;
