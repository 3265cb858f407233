//! What the engine is asked to change, and who waits for it.

use std::collections::BTreeMap;

use cofferdam_netpolicy::{ContainerPort, LocalPod, PolicyError};
use ipnetwork::IpNetwork;
use tokio::sync::oneshot;

use crate::input::Input;

/// A change of the local pods or of this node.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Program(LocalPod),
    SetPorts(String, Vec<ContainerPort>),
    Unbind(String),
    /// All pods that run, once at start-up. The kernel's table is read before.
    Restore(BTreeMap<String, LocalPod>),
    PodCidrs(Vec<IpNetwork>),
    /// The kernel's table may not be what was written: read it and mend it.
    Reread,
}

/// A change that waits for its turn.
pub(crate) struct Job {
    pub(crate) change: Change,
    pub(crate) done: oneshot::Sender<Result<(), PolicyError>>,
}

impl Change {
    pub(crate) fn apply(&self, input: &mut Input) {
        match self {
            Change::Program(pod) => _ = input.pods.insert(pod.sandbox_id.clone(), pod.clone()),
            Change::SetPorts(id, ports) => {
                if let Some(pod) = input.pods.get_mut(id) {
                    pod.ports.clone_from(ports);
                }
            }
            Change::Unbind(id) => _ = input.pods.remove(id),
            Change::Restore(pods) => input.pods.clone_from(pods),
            Change::PodCidrs(cidrs) => input.node.set_pod_cidrs(cidrs.clone()),
            Change::Reread => {}
        }
    }

    /// The pod whose rules must be in force for the change to have come about.
    pub(crate) fn needs(&self) -> Option<&str> {
        match self {
            Change::Program(pod) => Some(&pod.sandbox_id),
            Change::SetPorts(id, _) => Some(id),
            Change::Unbind(_) | Change::Restore(_) | Change::PodCidrs(_) | Change::Reread => None,
        }
    }
}
