//! The built-in network behind [`PodNetwork`].
//!
//! State: the address table, changed by `allocate`, `set_pod_cidrs`, `recover` and the end of a removal; and what the
//! host should have because of us, changed by `up`, `detach` and whatever changes the CIDRs. A sandbox's
//! addresses are used from `allocate` until its link is deleted, then they rest. Deleting a veth takes the kernel about
//! 30 ms, so `detach` answers before: the pod is unbound by then, and what a crash leaves is removed by `recover`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use async_trait::async_trait;
use cofferdam_sandbox::{Lease, LinkEnd, NetworkAttachment, NetworkError, PodNetwork};
use ipnetwork::IpNetwork;
use tokio::task::JoinHandle;

use crate::expected::UpLink;
use crate::ipam::{Ipam, node_address};
use crate::netlink::Netlink;
use crate::quarantine::{Quarantine, since_boot};
use crate::repair::{Watch, watch};
use crate::state::{Gate, Kept, State, check, enter, lock, retire};
use crate::{conntrack, host, link, names, route};

/// What the built-in network is told by `[network]`.
#[derive(Debug, Clone)]
pub struct BuiltinConfig {
    /// `interface_prefix`: 1 to 6 bytes of letters, digits, `-` or `_`; every link that starts so is ours.
    pub interface_prefix: String,
    /// `pod_cidrs`.
    pub pod_cidrs: Vec<IpNetwork>,
    /// The file that keeps released addresses in quarantine over a restart.
    pub quarantine: PathBuf,
}

/// The built-in routed network. All calls must be made in the host network namespace, on a tokio runtime.
pub struct BuiltinNetwork {
    prefix: String,
    state: Arc<Mutex<State>>,
    removals: Mutex<Vec<JoinHandle<()>>>,
    quarantine: Arc<Mutex<Quarantine>>,
    /// Where the other ends of links are that are not up yet.
    netns: Mutex<HashMap<String, PathBuf>>,
    watch: Mutex<Option<Watch>>,
    gate: Gate,
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
        let cidrs = check(&config.pod_cidrs)?;
        let mut ipam = Ipam::default();
        ipam.set_cidrs(&cidrs);
        let step = format!("read {}", config.quarantine.display());
        let kept = Quarantine::open(config.quarantine, since_boot());
        let (quarantine, rested) = kept.map_err(|e| NetworkError::failed(step, e))?;
        let now = Instant::now();
        rested.into_iter().for_each(|(address, age)| ipam.rest(address, now.checked_sub(age).unwrap_or(now)));
        let broken = Some("the pod network is not prepared yet".to_owned());
        let state = State { ipam, broken, leaving: Vec::new(), retiring: Vec::new(), links: BTreeMap::new() };
        Ok(BuiltinNetwork {
            prefix,
            state: Arc::new(Mutex::new(state)),
            removals: Mutex::default(),
            quarantine: Arc::new(Mutex::new(quarantine)),
            netns: Mutex::default(),
            watch: Mutex::default(),
            gate: Gate::default(),
        })
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
        lock(&self.watch).take();
        self.drain().await;
        let cidrs = lock(&self.state).ipam.cidrs();
        blocking(move || cidrs.into_iter().try_for_each(|cidr| host::retire(cidr, false))).await
    }

    async fn prepare(&self) -> Result<(), NetworkError> {
        let cidrs = lock(&self.state).expected().cidrs;
        let result = blocking(move || host::prepare(&cidrs)).await;
        lock(&self.state).broken = result.as_ref().err().map(|e| format!("pod network: {e}"));
        result
    }
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
        let cidrs = check(&cidrs)?;
        let before = {
            let mut state = lock(&self.state);
            // The node would take the address from a pod that runs.
            for (cidr, address) in cidrs.iter().map(|cidr| (cidr, node_address(*cidr))) {
                if let Some(owner) = state.ipam.owner(address) {
                    let text = format!("pod_cidrs: {cidr}: its first address would be the node's, and {owner} has it");
                    return Err(NetworkError::Precondition(text));
                }
            }
            let before = (state.ipam.cidrs(), state.retiring.clone());
            let former: Vec<IpNetwork> = before.0.iter().copied().filter(|old| !cidrs.contains(old)).collect();
            state.retiring.retain(|old| !cidrs.contains(old));
            state.retiring.extend(former);
            state.ipam.set_cidrs(&cidrs);
            before
        };
        if let Err(error) = self.prepare().await {
            let mut state = lock(&self.state);
            state.ipam.set_cidrs(&before.0);
            state.retiring = before.1;
            return Err(error);
        }
        let (state, gate) = (self.state.clone(), self.gate.clone());
        blocking(move || {
            let _entered = enter(&gate);
            retire(&state)
        })
        .await
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
        if let NetworkAttachment::Netns(path) = &to {
            lock(&self.netns).insert(lease.sandbox.clone(), path.clone());
        }
        // While it is made anew it is nothing to repair.
        lock(&self.state).links.remove(&lease.sandbox);
        let gate = self.gate.clone();
        blocking(move || {
            let _entered = enter(&gate);
            let mtu = Netlink::route()
                .map_err(|e| NetworkError::failed("open a netlink socket", e))
                .and_then(|mut netlink| host::mtu(&mut netlink))?;
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
        let (wanted, gate, state) = (lease.clone(), self.gate.clone(), self.state.clone());
        let netns = lock(&self.netns).remove(&lease.sandbox);
        blocking(move || {
            let _entered = enter(&gate);
            let expected = lock(&state).expected();
            let up = || link::up(&wanted, |address| expected.source_of(address));
            // What it stands on may have been taken away a moment ago.
            let index = up().or_else(|error| {
                tracing::warn!(%error, "preparing the host again");
                host::prepare(&expected.cidrs)?;
                up()
            })?;
            lock(&state).links.insert(wanted.sandbox.clone(), UpLink { lease: wanted, index, netns });
            Ok(())
        })
        .await
    }

    async fn detach(&self, lease: &Lease) -> Result<(), NetworkError> {
        let (lease, state, quarantine) = (lease.clone(), self.state.clone(), self.quarantine.clone());
        lock(&self.netns).remove(&lease.sandbox);
        lock(&self.state).links.remove(&lease.sandbox);
        let addresses = lease.addresses.clone();
        // Before anybody forgets the lease: from here on the file is all that keeps the addresses from others.
        blocking(move || {
            let kept = lock(&quarantine).add(&addresses, since_boot());
            kept.map_err(|e| NetworkError::failed("write the quarantine of addresses", e))
        })
        .await?;
        lock(&self.state).leaving.push(lease.sandbox.clone());
        let gate = self.gate.clone();
        let removal = tokio::task::spawn_blocking(move || {
            let _entered = enter(&gate);
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
        let (links, kept) = (leases.to_vec(), Kept(Arc::downgrade(&self.state), self.gate.clone()));
        let (up, started) = blocking(move || {
            remove_orphans(&prefix, &living)?;
            conntrack::delete_unowned(&cidrs, &owned)
                .map_err(|e| NetworkError::failed("delete the flows of pods that are gone", e))?;
            let up = links_that_are_up(links)?;
            Ok((up, watch(kept).map_err(|e| NetworkError::failed("listen to changes of the network", e))?))
        })
        .await?;
        lock(&self.state).links = up;
        *lock(&self.watch) = Some(started);
        Ok(())
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

/// Of the pods of an earlier daemon; those that were being made or removed are not up.
fn links_that_are_up(leases: Vec<Lease>) -> Result<BTreeMap<String, UpLink>, NetworkError> {
    let mut netlink = Netlink::route().map_err(|e| NetworkError::failed("open a netlink socket", e))?;
    let links = route::links(&mut netlink).map_err(|e| NetworkError::failed("list links", e))?;
    let up = links.iter().filter(|link| link.is_up()).map(|link| (link.name.as_str(), link.index));
    let up: HashMap<&str, u32> = up.collect();
    let one = |lease: Lease| {
        let index = *up.get(lease.interface.as_str())?;
        Some((lease.sandbox.clone(), UpLink { lease, index, netns: None }))
    };
    Ok(leases.into_iter().filter_map(one).collect())
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
