//! Sandboxes as the daemon sees them: traits, specs, errors. No I/O.
//!
//! A *sandbox* is where a pod runs: Linux namespaces or a micro-VM. Both kinds are reached by the traits of this crate:
//!
//! * [`SandboxFactory`] makes and recovers sandboxes of one kind, [`Sandbox`] is one of them;
//! * [`PodClient`] speaks the pod protocol (`proto/pod`) with the shim of a sandbox;
//! * [`PodNetwork`] gives a sandbox its interface and addresses.
//!
//! The CRI server knows only these; `cri/daemon` wires the implementations. What a container is asked to be and what is
//! told of it are types of the pod protocol, which the shim and the agent share; they are handed on from here.

mod error;
mod network;
mod pod;
mod sandbox;
mod spec;

pub use cofferdam_pod_api::{
    ContainerExit, ContainerRootfs, ContainerSpec, ContainerState, ContainerStatus, ExecSpec, IdMap, NamespaceMode,
    PodError, PodNamespaces, Stats, Stdio, UserNamespace, pack_variable,
};
pub use cofferdam_tenant::SandboxKind;
pub use error::{Cause, NetworkError, SandboxError};
pub use network::{Lease, LinkEnd, NetworkAttachment, PodLink, PodNetwork};
pub use pod::{ByteStreams, PodClient, PodEvent, Reader, Streams, Writer};
pub use sandbox::{Attachment, ProcessIdentity, Recovered, Sandbox, SandboxFactory, SandboxRecord};
pub use spec::{FILES_DIR, SandboxSpec, VmSize};
