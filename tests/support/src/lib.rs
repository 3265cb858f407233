//! What tests share: the gate for root ([`gate`]), waiting ([`eventually`]), network namespaces ([`Netns`]), a node for
//! sandboxes ([`Node`]) and one with a daemon ([`Daemon`]).
//!
//! ```no_run
//! use cofferdam_test_support::{ContainerSpec, Daemon, PodSpec, image};
//! # fn main() -> anyhow::Result<()> {
//! let daemon = Daemon::builder("first").start()?;
//! let before = daemon.snapshot()?;
//! let crictl = daemon.crictl();
//! crictl.pull(&image("busybox"))?;
//! let pod = PodSpec::new("default", "first").handler("namespace");
//! let sandbox = crictl.run_pod(&pod)?;
//! let container = ContainerSpec::new("main", &image("busybox")).command(&["sleep", "1000"]);
//! let id = crictl.run_container(&sandbox, &container, &pod)?;
//! assert_eq!(crictl.exec(&id, &["echo", "hello"])?, "hello\n");
//! crictl.remove_pod(&sandbox)?;
//! daemon.wait_clean(&before)?;
//! # Ok(()) }
//! ```
//!
//! Every [`Daemon`] has a host network namespace of its own ([`Host`]), a directory, a cgroup root and a registry;
//! dropping it ends every process and removes every mount, namespace and cgroup that it left, also after a failed
//! assertion. Processes are killed when the thread that started them ends, so a daemon must not be started on a helper
//! thread.

mod builder;
mod cgroup;
mod cluster;
mod containerd;
mod crictl;
mod daemon;
pub mod expected;
pub mod gate;
mod host;
mod http;
pub mod junit;
mod kubelet;
mod leaks;
mod lifecycle;
mod netns;
mod node;
mod paths;
mod pod;
mod process;
mod run;
mod wait;

pub use builder::DaemonBuilder;
pub use cgroup::Cgroup;
pub use cluster::{ClusterDir, namespace_yaml, tenant_yaml};
pub use cofferdam_test_images::{Registry, copy_storage, corrupt_blob};
pub use cofferdam_test_macros::needs;
pub use containerd::Containerd;
pub use crictl::Crictl;
pub use daemon::Daemon;
pub use host::{Host, OUTSIDE_V4, OUTSIDE_V6, UPLINK_V4, UPLINK_V6};
pub use http::{HttpServer, http_get};
pub use kubelet::{Kubelet, NODE_NAME};
pub use leaks::Snapshot;
pub use netns::Netns;
pub use node::{Node, build_binary, cgroup_dirs, cgroup_processes};
pub use paths::{
    api_proto, bin_dir, cofferdam, containerd_path, containerd_seccomp, crictl_path, critest_path, ensure_vm_image,
    guest_kernel_package, kubelet_path, kubernetes_path, runc_path, vm_image_dir,
};
pub use pod::{ContainerSpec, PodSpec, image};
pub use process::{pids_below, process_exists, signal, wait_gone};
pub use run::{Output, output_of, run};
pub use wait::{Answer, PATIENCE, eventually, eventually_async};
