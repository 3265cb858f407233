//! The built-in network behind [`PodNetwork`].
//!
//! State: the address table, changed by `allocate`, `set_pod_cidrs`, `recover` and the end of a removal. A sandbox's
//! addresses are used from `allocate` until its link is deleted, then they rest. Deleting a veth takes the kernel about
//! 30 ms, so `detach` answers before: the pod is unbound by then, and what a crash leaves is removed by `recover`.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use cofferdam_sandbox::{Lease, LinkEnd, NetworkAttachment, NetworkError, PodNetwork};
use ipnetwork::IpNetwork;
use tokio::task::JoinHandle;

use crate::ipam::{Ipam, node_address};
use crate::netlink::Netlink;
use crate::{conntrack, host, link, names, route};

/// What the built-in network is told by `[network]`.
#[derive(Debug, Clone)]
pub struct BuiltinConfig {
    /// `interface_prefix`: 1 to 6 bytes of letters, digits, `-` or `_`; every link that starts so is ours.
    pub interface_prefix: String,
    /// `pod_cidrs`.
    pub pod_cidrs: Vec<IpNetwork>,
}

/// The built-in routed network. All calls must be made in the host network namespace, on a tokio runtime.
pub struct BuiltinNetwork {
    prefix: String,
    state: Arc<Mutex<State>>,
    removals: Mutex<Vec<JoinHandle<()>>>,
}

struct State {
    ipam: Ipam,
    /// Why pods cannot be connected.
    broken: Option<String>,
    /// Sandboxes whose link is being deleted.
    leaving: Vec<String>,
    /// Former CIDRs that pods still use.
    retiring: Vec<IpNetwork>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No section leaves the table half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs what waits for the kernel outside the runtime's own threads.
async fn blocking<T: Send + 'static>(
    job: impl FnOnce() -> Result<T, NetworkError> + Send + 'static,
) -> Result<T, NetworkError> {
    tokio::task::spawn_blocking(job).await.unwrap_or_else(|e| Err(NetworkError::failed("change the network", e)))
}

impl BuiltinNetwork {
    /// Checks the configuration; the kernel is prepared by [`PodNetwork::recover`] or [`PodNetwork::set_pod_cidrs`].
    ///
    /// # Errors
    /// [`NetworkError::Precondition`] for a prefix or CIDRs that cannot be used.
    pub fn new(config: BuiltinConfig) -> Result<Self, NetworkError> {
        let prefix = config.interface_prefix;
        let valid = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if prefix.is_empty() || prefix.len() > names::MAX_PREFIX || !prefix.chars().all(valid) {
            return Err(NetworkError::Precondition(format!(
                "interface_prefix {prefix:?}: 1 to {} letters, digits, - or _",
                names::MAX_PREFIX
            )));
        }
        check(&config.pod_cidrs)?;
        let mut ipam = Ipam::default();
        ipam.set_cidrs(&config.pod_cidrs);
        let broken = Some("the pod network is not prepared yet".to_owned());
        let state = State { ipam, broken, leaving: Vec::new(), retiring: Vec::new() };
        Ok(BuiltinNetwork { prefix, state: Arc::new(Mutex::new(state)), removals: Mutex::new(Vec::new()) })
    }

    /// Waits until every link that was detached is deleted (before the daemon ends).
    pub async fn drain(&self) {
        let removals = std::mem::take(&mut *lock(&self.removals));
        for removal in removals {
            if let Err(error) = removal.await {
                tracing::error!(%error, "deleting a pod's link failed");
            }
        }
    }

    /// Takes the node's own addresses and the blackhole routes away: the daemon ends, and no pod is left.
    ///
    /// # Errors
    /// The kernel refuses.
    pub async fn leave(&self) -> Result<(), NetworkError> {
        self.drain().await;
        let cidrs = lock(&self.state).ipam.cidrs();
        blocking(move || cidrs.into_iter().try_for_each(|cidr| host::retire(cidr, false))).await
    }

    async fn prepare(&self) -> Result<(), NetworkError> {
        let cidrs = lock(&self.state).ipam.cidrs();
        let result = blocking(move || host::prepare(&cidrs)).await;
        lock(&self.state).broken = result.as_ref().err().map(|e| format!("pod network: {e}"));
        result
    }
}

/// CIDRs must leave room for a pod and not overlap.
fn check(cidrs: &[IpNetwork]) -> Result<(), NetworkError> {
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
    if cidrs.is_empty() { refuse("none given".into()) } else { Ok(()) }
}

#[async_trait]
impl PodNetwork for BuiltinNetwork {
    fn not_ready(&self) -> Option<String> {
        lock(&self.state).broken.clone()
    }

    fn pod_cidrs(&self) -> Vec<IpNetwork> {
        lock(&self.state).ipam.cidrs()
    }

    async fn set_pod_cidrs(&self, cidrs: Vec<IpNetwork>) -> Result<(), NetworkError> {
        check(&cidrs)?;
        {
            let mut state = lock(&self.state);
            let former: Vec<IpNetwork> = state.ipam.cidrs().into_iter().filter(|old| !cidrs.contains(old)).collect();
            state.retiring.retain(|old| !cidrs.contains(old));
            state.retiring.extend(former);
            state.ipam.set_cidrs(&cidrs);
        }
        self.prepare().await?;
        let state = self.state.clone();
        blocking(move || retire(&state)).await
    }

    fn allocate(&self, sandbox: &str) -> Result<Lease, NetworkError> {
        let mut state = lock(&self.state);
        if state.leaving.iter().any(|leaving| leaving == sandbox) {
            return Err(NetworkError::failed(
                format!("allocate addresses for {sandbox}"),
                "its former link is still being deleted",
            ));
        }
        let addresses = state.ipam.allocate(sandbox, Instant::now()).map_err(NetworkError::Exhausted)?;
        Ok(Lease {
            sandbox: sandbox.to_owned(),
            addresses,
            interface: names::interface(&self.prefix, sandbox),
            mac: names::mac(sandbox, "pod"),
            gateway_mac: names::mac(sandbox, "gateway"),
        })
    }

    async fn attach(&self, lease: &Lease, to: NetworkAttachment) -> Result<LinkEnd, NetworkError> {
        let lease = lease.clone();
        blocking(move || {
            let mtu = Netlink::route()
                .and_then(|mut netlink| host::uplink_mtu(&mut netlink))
                .map_err(|e| NetworkError::failed("read the uplink's MTU", e))?;
            match to {
                NetworkAttachment::Netns(path) => {
                    Ok(LinkEnd { link: link::attach_veth(&lease, &path, mtu)?, tap: None })
                }
                NetworkAttachment::Tap => {
                    link::attach_tap(&lease, mtu).map(|(link, tap)| LinkEnd { link, tap: Some(tap) })
                }
            }
        })
        .await
    }

    async fn up(&self, lease: &Lease) -> Result<(), NetworkError> {
        let cidrs: Vec<IpNetwork> = {
            let state = lock(&self.state);
            state.ipam.cidrs().into_iter().chain(state.retiring.iter().copied()).collect()
        };
        let lease = lease.clone();
        let source =
            move |address: IpAddr| cidrs.iter().find(|cidr| cidr.contains(address)).map(|cidr| node_address(*cidr));
        blocking(move || link::up(&lease, source)).await
    }

    async fn detach(&self, lease: &Lease) -> Result<(), NetworkError> {
        let (lease, state) = (lease.clone(), self.state.clone());
        lock(&self.state).leaving.push(lease.sandbox.clone());
        let removal = tokio::task::spawn_blocking(move || {
            remove(&lease);
            {
                let mut state = lock(&state);
                state.ipam.release(&lease.sandbox, &lease.addresses, Instant::now());
                state.leaving.retain(|leaving| *leaving != lease.sandbox);
            }
            if let Err(error) = retire(&state) {
                tracing::error!(%error, "a former pod CIDR stays on the host");
            }
        });
        let mut removals = lock(&self.removals);
        removals.retain(|old| !old.is_finished());
        removals.push(removal);
        Ok(())
    }

    async fn recover(&self, leases: &[Lease]) -> Result<(), NetworkError> {
        {
            let mut state = lock(&self.state);
            leases.iter().for_each(|lease| state.ipam.adopt(&lease.sandbox, &lease.addresses));
        }
        self.prepare().await?;
        let (prefix, living) =
            (self.prefix.clone(), leases.iter().map(|lease| lease.interface.clone()).collect::<Vec<_>>());
        let cidrs = lock(&self.state).ipam.cidrs();
        let owned: HashSet<IpAddr> = leases
            .iter()
            .flat_map(|lease| lease.addresses.iter().copied())
            .chain(cidrs.iter().map(|cidr| node_address(*cidr)))
            .collect();
        blocking(move || {
            remove_orphans(&prefix, &living)?;
            conntrack::delete_unowned(&cidrs, &owned)
                .map_err(|e| NetworkError::failed("delete the flows of pods that are gone", e))?;
            Ok(())
        })
        .await
    }

    async fn counters(&self, lease: &Lease) -> Result<(u64, u64, u64, u64), NetworkError> {
        let name = lease.interface.clone();
        let step = format!("read the counters of {name}");
        blocking(move || {
            let found = Netlink::route()
                .and_then(|mut netlink| route::link(&mut netlink, &name))
                .map_err(|e| NetworkError::failed(&step, e))?;
            match found.as_ref().map(|link| &link.stats[..]) {
                // What the host's end received the pod sent.
                Some([_, _, received, sent, receive_errors, send_errors, ..]) => {
                    Ok((*sent, *send_errors, *received, *receive_errors))
                }
                _ => Err(NetworkError::failed(&step, "there is no such link")),
            }
        })
        .await
    }
}

/// Deletes link and flows; failures are logged and left to the next start, the addresses rest meanwhile.
fn remove(lease: &Lease) {
    if let Err(error) = Netlink::route().and_then(|mut netlink| route::delete_link(&mut netlink, &lease.interface)) {
        tracing::error!(sandbox = lease.sandbox, interface = lease.interface, %error, "deleting a pod's link failed");
    }
    if let Err(error) = conntrack::delete(&lease.addresses) {
        tracing::error!(sandbox = lease.sandbox, addresses = ?lease.addresses, %error, "deleting a pod's flows failed");
    }
}

/// Takes former CIDRs that no pod uses from the host. A part of a CIDR can begin with the same address, which is the
/// node's in both.
fn retire(state: &Mutex<State>) -> Result<(), NetworkError> {
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

fn remove_orphans(prefix: &str, living: &[String]) -> Result<(), NetworkError> {
    let mut netlink = Netlink::route().map_err(|e| NetworkError::failed("open a netlink socket", e))?;
    let links = route::links(&mut netlink).map_err(|e| NetworkError::failed("list links", e))?;
    for link in links.iter().filter(|link| link.name.starts_with(prefix) && !living.contains(&link.name)) {
        tracing::info!(interface = link.name, up = link.is_up(), "deleting the link of a pod that is gone");
        route::delete_link(&mut netlink, &link.name)
            .map_err(|e| NetworkError::failed(format!("delete the orphan {}", link.name), e))?;
    }
    Ok(())
}
