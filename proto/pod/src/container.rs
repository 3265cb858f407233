//! What a container and an exec are asked to be.

use std::collections::BTreeMap;
use std::path::PathBuf;

use oci_spec::runtime::{Process, Spec};
use serde::{Deserialize, Serialize};

/// A container, ready to be run: an OCI spec of host paths plus what OCI has no word for.
///
/// The server writes it for both kinds of sandbox alike; a VM sandbox rewrites host paths to guest paths before it
/// sends it to the agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// The container id: 64 lower-case hex digits.
    pub id: String,
    /// The name, for messages.
    pub name: String,
    /// OCI runtime spec. `root.path` is ignored (see `rootfs`); `linux.seccomp` is absent (see `seccomp`);
    /// `linux.namespaces` is absent: the sandbox decides; `linux.cgroupsPath` is the container's cgroup.
    pub oci: Spec,
    /// The root file system, not yet mounted.
    pub rootfs: ContainerRootfs,
    /// Seccomp program (BPF, `struct sock_filter` array, native endian); empty: unconfined.
    pub seccomp: Vec<u8>,
    /// Standard streams.
    pub stdio: Stdio,
    /// Join the PID namespace of this container id instead of the pod's mode (CRI mode TARGET).
    pub pid_target: Option<String>,
    /// Extra key/values for later protocol versions; empty now.
    #[serde(default)]
    pub extensions: BTreeMap<String, String>,
}

/// An overlay that is mounted where the container runs (namespace) or on the host, inside the share (VM). In the second
/// case the guest gets one directory in `lower`, which is the mounted root itself, and empty `upper` and `work`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerRootfs {
    /// Lower directories, topmost first.
    pub lower: Vec<PathBuf>,
    /// Upper directory.
    pub upper: PathBuf,
    /// Work directory.
    pub work: PathBuf,
}

/// How the standard streams of a container are made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stdio {
    /// A pty instead of pipes.
    pub terminal: bool,
    /// Keep an open stdin for attach; otherwise /dev/null.
    pub stdin: bool,
    /// Close stdin after the first attach that had it ends.
    pub stdin_once: bool,
}

/// One more process in a running container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExecSpec {
    /// Container to join.
    pub container: String,
    /// An id of the exec, unique in the pod.
    pub id: String,
    /// OCI process: args, env, cwd, user, capabilities, no_new_privileges as the container has them; `terminal`.
    pub process: Process,
    /// Whether stdin is connected; otherwise /dev/null.
    pub stdin: bool,
}
