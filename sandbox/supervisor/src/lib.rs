//! The event loop that serves the pod protocol, in a shim and in a guest's agent.
//!
//! * [`serve`]: requesters on a unix socket, containers here (the shim of a namespace sandbox);
//! * [`serve_vm`]: requesters on a unix socket, containers behind an agent (the shim of a VM sandbox);
//! * [`serve_ports`]: one requester on two virtio-serial ports, containers here (the agent of a VM sandbox).
//!
//! One thread, no runtime: it forks, and its memory is counted.

mod engine;
mod exits;
mod logs;
mod relay;
mod serve;

use std::os::fd::OwnedFd;

pub use engine::{ContainerHandle, Engine, Guest, Runner};
pub use exits::ExitRecords;
pub use relay::{BootedMachine, Machine, Relay};
pub use serve::{End, serve_broken};

/// Serves requesters that connect to a listening socket, from the uid 0 only, several at a time.
pub fn serve(listener: OwnedFd, mut engine: Engine) -> End {
    serve::serve_on_socket(listener, &mut engine, None)
}

/// Serves requesters that connect to a listening socket, with containers in a VM.
pub fn serve_vm(listener: OwnedFd, mut backend: Relay) -> End {
    serve::serve_on_socket(listener, &mut backend, None)
}

/// Serves the shim outside of a guest over the two ports of the guest.
pub fn serve_ports(control: OwnedFd, data: OwnedFd, guest: Box<dyn Guest>) -> End {
    serve::serve_on_ports(control, data, serve::PortKind::Device, &mut Engine::in_guest(guest))
}
