//! The event loop: connections of requesters, and a backend that does what they ask.
//!
//! One thread, one epoll. Nothing here waits for anything but the epoll; what a backend does in a call (setting a
//! container up) is bounded work in a forked child.

mod backend;
mod broken;
mod connection;
mod context;
mod end;
mod port;
mod reactor;
mod server;

pub(crate) use backend::Backend;
pub use broken::serve_broken;
pub(crate) use context::{Context, Origin, StreamKey};
pub use end::End;
pub(crate) use port::{Fault, PortIo, PortKind};
pub(crate) use reactor::{Ready, Token, kind};
pub(crate) use server::{serve_on_ports, serve_on_socket};
