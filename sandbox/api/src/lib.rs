//! Sandboxes: traits, specs, states, errors. No I/O.
//!
//! A *sandbox* is where a pod runs: Linux namespaces or a micro-VM. Both kinds are reached by the traits of this crate:
//!
//! * [`SandboxFactory`] makes and recovers sandboxes of one kind, [`Sandbox`] is one of them;
//! * [`PodClient`] speaks the pod protocol (`proto/pod`) with the shim of a sandbox;
//! * [`PodNetwork`] gives a sandbox its interface and addresses.
//!
//! The CRI server knows only these; `cri/daemon` wires the implementations.

mod container;
mod error;
mod network;
mod pod;
mod sandbox;
mod spec;

pub use container::{ContainerRootfs, ContainerSpec, ExecSpec, IdMap, LogTarget, ShareMount, Stdio};
pub use error::{NetworkError, PodError, SandboxError};
pub use network::{Lease, LinkEnd, NetworkAttachment, PodLink, PodNetwork};
pub use pod::{ByteStreams, ContainerExit, ContainerState, ContainerStatus, PodClient, PodEvent, Stats, Streams};
pub use sandbox::{Attachment, ProcessIdentity, Recovered, Sandbox, SandboxFactory, SandboxRecord};
pub use spec::{NamespaceMode, PodNamespaces, SandboxSpec, UserNamespace, VmSize};

pub use cofferdam_tenant::SandboxKind;
