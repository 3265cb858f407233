//! What the built-in network knows, and what follows from it for the host.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, Weak};

use cofferdam_sandbox::NetworkError;
use ipnetwork::IpNetwork;

use crate::expected::{Expected, UpLink};
use crate::host;
use crate::ipam::{Ipam, node_address};
use crate::repair::Watched;

/// What the network knows of its pods.
pub(crate) struct State {
    pub ipam: Ipam,
    /// Why pods cannot be connected.
    pub broken: Option<String>,
    /// Sandboxes whose link is being deleted.
    pub leaving: Vec<String>,
    /// Former CIDRs that pods still use.
    pub retiring: Vec<IpNetwork>,
    /// Links that are up.
    pub links: BTreeMap<String, UpLink>,
}

impl State {
    /// What the host should have.
    pub fn expected(&self) -> Expected {
        let cidrs = [self.ipam.cidrs(), self.retiring.clone()].concat();
        Expected { cidrs, links: self.links.clone() }
    }
}

/// What changes the kernel as the state says reads; what repairs, writes: it sees the state and the kernel agree.
pub(crate) type Gate = Arc<RwLock<()>>;

pub(crate) fn enter(gate: &RwLock<()>) -> RwLockReadGuard<'_, ()> {
    gate.read().unwrap_or_else(PoisonError::into_inner)
}

/// The state as the thread that repairs sees it.
pub(crate) struct Kept(pub Weak<Mutex<State>>, pub Gate);

impl Watched for Kept {
    fn expected(&self) -> Option<Expected> {
        Some(lock(&*self.0.upgrade()?).expected())
    }

    fn link(&self, sandbox: &str) -> Option<UpLink> {
        lock(&*self.0.upgrade()?).links.get(sandbox).cloned()
    }

    fn moved(&self, sandbox: &str, index: u32) {
        if let Some(state) = self.0.upgrade()
            && let Some(link) = lock(&state).links.get_mut(sandbox)
        {
            link.index = index;
        }
    }

    fn alone<T>(&self, job: impl FnOnce() -> T) -> Option<T> {
        let _alone = self.1.write().unwrap_or_else(PoisonError::into_inner);
        self.0.upgrade().map(|_| job())
    }

    fn repaired(&self, result: &Result<(), NetworkError>) {
        if let Some(state) = self.0.upgrade() {
            lock(&state).broken = result.as_ref().err().map(|e| format!("pod network: {e}"));
        }
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No section leaves the table half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// CIDRs must leave room for a pod and not overlap. Returns them without what is to the right of their length.
pub(crate) fn check(cidrs: &[IpNetwork]) -> Result<Vec<IpNetwork>, NetworkError> {
    let refuse = |text: String| Err(NetworkError::Precondition(format!("pod_cidrs: {text}")));
    for (index, cidr) in cidrs.iter().enumerate() {
        let bits = if cidr.is_ipv4() { 32 } else { 128 };
        if cidr.prefix() == bits || cidr.prefix() == 0 {
            return refuse(format!("{cidr} cannot hold the node and its pods"));
        }
        if let Some(other) =
            cidrs[..index].iter().find(|other| other.contains(cidr.network()) || cidr.contains(other.network()))
        {
            return refuse(format!("{cidr} overlaps {other}"));
        }
    }
    if cidrs.is_empty() {
        return refuse("none given".into());
    }
    let network = |cidr: &IpNetwork| IpNetwork::new(cidr.network(), cidr.prefix());
    cidrs.iter().map(network).collect::<Result<_, _>>().or_else(|e| refuse(e.to_string()))
}

/// Takes former CIDRs that no pod uses from the host. A part of a CIDR can begin with the same address, which is the
/// node's in both.
pub(crate) fn retire(state: &Mutex<State>) -> Result<(), NetworkError> {
    let unused: Vec<(IpNetwork, bool)> = {
        let mut state = lock(state);
        let (keep, unused): (_, Vec<IpNetwork>) =
            std::mem::take(&mut state.retiring).into_iter().partition(|cidr| state.ipam.in_use(*cidr));
        state.retiring = keep;
        let in_force = [state.ipam.cidrs(), state.retiring.clone()].concat();
        let nodes: Vec<IpAddr> = in_force.into_iter().map(node_address).collect();
        unused.into_iter().map(|cidr| (cidr, nodes.contains(&node_address(cidr)))).collect()
    };
    unused.into_iter().try_for_each(|(cidr, shares_node_address)| host::retire(cidr, shares_node_address))
}
