//! Sandboxes: traits, specs, states, errors. No I/O.
//!
//! A *sandbox* is where a pod runs: Linux namespaces or a micro-VM. Both kinds are reached by the traits of this crate:
//!
//! * [`SandboxFactory`] makes and recovers sandboxes of one kind, [`Sandbox`] is one of them;
//! * [`PodClient`] speaks the pod protocol (`proto/pod`) with the shim of a sandbox;
//! * [`PodNetwork`] gives a sandbox its interface and addresses.
//!
//! The CRI server knows only these; `cri/daemon` wires the implementations.

//!
//! The shim and the agent need only the specs and states: they depend on this crate without its default feature `server`,
//! and so without an async runtime.

mod boot;
mod container;
mod error;
mod guest;
mod namespaces;
#[cfg(feature = "server")]
mod network;
#[cfg(feature = "server")]
mod pod;
#[cfg(feature = "server")]
mod sandbox;
mod shim;
#[cfg(feature = "server")]
mod spec;
mod state;

pub use boot::{BOOT_CONSOLE, BOOT_MESSAGES, BOOT_TAP, BootConfig, BootedProcesses};
pub use container::{ContainerRootfs, ContainerSpec, ExecSpec, IdMap, LogTarget, ShareMount, Stdio};
pub use error::{NetworkError, PodError, SandboxError};
pub use guest::{CONTROL_PORT, DATA_PORT, GUEST_CGROUP, GuestLink, GuestSetup, MIN_SEED, SHARE_DIR, SHARE_TAG};
pub use namespaces::{NamespaceMode, PodNamespaces, UserNamespace};
#[cfg(feature = "server")]
pub use network::{Lease, LinkEnd, NetworkAttachment, PodLink, PodNetwork};
#[cfg(feature = "server")]
pub use pod::{ByteStreams, PodClient, PodEvent, Reader, Streams, Writer};
#[cfg(feature = "server")]
pub use sandbox::{Attachment, ProcessIdentity, Recovered, Sandbox, SandboxFactory, SandboxRecord};
pub use shim::{ShimConfig, ShimKind, ShimNamespaces};
#[cfg(feature = "server")]
pub use spec::{SandboxSpec, VmSize};
pub use state::{ContainerExit, ContainerState, ContainerStatus, Stats};

#[cfg(feature = "server")]
pub use cofferdam_tenant::SandboxKind;
