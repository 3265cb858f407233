//! The loop that keeps the kernel's rules as policies and local pods demand.
//!
//! Who may change what: `Shared::state` is changed only under its lock, by `program`, `set_ports`, `unbind`, `restore`,
//! `update_pod_cidrs` and the loop. Each of them ends with the same reconcile (compile, diff, one atomic batch).
//!
//! ```text
//!  new -> restore -> program, unbind, new snapshots (each: one batch, or none if nothing changes)
//! ```
//! Before `restore` nothing is written: what an earlier daemon put in force stays.

mod explain;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use cofferdam_netpolicy::backend::{BackendError, RuleBackend};
use cofferdam_netpolicy::diff::diff;
use cofferdam_netpolicy::ir::{Ruleset, Snapshot};
use cofferdam_netpolicy::{
    ContainerPort, Explanation, LocalPod, NodeConfig, PolicyEngine, PolicyError, PolicySnapshot, PolicySource, compile,
};
use ipnetwork::IpNetwork;
use tokio::sync::watch;

/// Between tries after the kernel refused a batch.
const RETRY: Duration = Duration::from_secs(1);

/// The policy engine of a node.
pub struct Controller {
    shared: Arc<Shared>,
}

struct Shared {
    backend: Arc<dyn RuleBackend>,
    snapshots: watch::Receiver<Arc<PolicySnapshot>>,
    state: Mutex<State>,
}

struct State {
    node: NodeConfig,
    pods: BTreeMap<String, LocalPod>,
    /// What the kernel holds; `None`: must be read.
    kernel: Option<Snapshot>,
    restored: bool,
    /// Why the last reconcile failed.
    failed: Option<String>,
}

impl Controller {
    /// An engine over a backend and a source; its loop ends with the source. Must be called inside a tokio runtime.
    pub fn start(backend: Arc<dyn RuleBackend>, source: &dyn PolicySource, node: NodeConfig) -> Self {
        let snapshots = source.snapshots();
        let state = State { node, pods: BTreeMap::new(), kernel: None, restored: false, failed: None };
        let shared = Arc::new(Shared { backend, snapshots: snapshots.clone(), state: Mutex::new(state) });
        tokio::spawn(follow(Arc::downgrade(&shared), snapshots));
        Controller { shared }
    }

    /// The rules as policies and pods demand them now.
    pub fn ruleset(&self) -> Ruleset {
        let state = self.shared.state();
        let pods: Vec<LocalPod> = state.pods.values().cloned().collect();
        compile(&self.shared.snapshot(), &state.node, &pods)
    }

    /// Runs a change and its reconcile off the async threads; a change whose batch fails is taken back.
    async fn change(&self, change: impl FnOnce(&mut State) + Send + 'static) -> Result<(), PolicyError> {
        let shared = self.shared.clone();
        let done = tokio::task::spawn_blocking(move || {
            let mut state = shared.state();
            let before = (state.pods.clone(), state.node.clone(), state.restored);
            change(&mut state);
            let result = shared.reconcile(&mut state);
            if result.is_err() {
                (state.pods, state.node, state.restored) = before;
            }
            result
        });
        Ok(done.await.map_err(|_| PolicyError::Stopped)??)
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn snapshot(&self) -> Arc<PolicySnapshot> {
        self.snapshots.borrow().clone()
    }

    fn reconcile(&self, state: &mut State) -> Result<(), BackendError> {
        if !state.restored {
            return Ok(());
        }
        let result = self.commit(state);
        state.failed = result.as_ref().err().map(|e| format!("network policy: {e}"));
        result
    }

    fn commit(&self, state: &mut State) -> Result<(), BackendError> {
        let kernel = match state.kernel.take() {
            Some(kernel) => kernel,
            None => self.backend.read()?,
        };
        let pods: Vec<LocalPod> = state.pods.values().cloned().collect();
        let desired = compile(&self.snapshot(), &state.node, &pods);
        let batch = diff(&kernel, &desired);
        if !batch.is_empty() {
            // On an error `kernel` stays unknown and is read before the next batch.
            self.backend.apply(&batch)?;
        }
        state.kernel = Some(desired.snapshot());
        Ok(())
    }
}

async fn follow(shared: std::sync::Weak<Shared>, mut snapshots: watch::Receiver<Arc<PolicySnapshot>>) {
    while snapshots.changed().await.is_ok() {
        loop {
            let Some(shared) = shared.upgrade() else { return };
            let done = tokio::task::spawn_blocking(move || shared.reconcile(&mut shared.state())).await;
            match done {
                Ok(Ok(())) => break,
                Ok(Err(error)) => tracing::error!(%error, "a change of policies is not in force yet"),
                Err(_) => return,
            }
            tokio::time::sleep(RETRY).await;
        }
    }
}

#[async_trait]
impl PolicyEngine for Controller {
    async fn program(&self, pod: LocalPod) -> Result<(), PolicyError> {
        if let Some(reason) = &self.shared.snapshot().facts.blocked {
            return Err(PolicyError::Blocked(reason.clone()));
        }
        if pod.host_network {
            return Ok(());
        }
        if !self.shared.state().restored {
            return Err(PolicyError::Blocked("the pods that run already are not restored yet".into()));
        }
        self.change(move |state| _ = state.pods.insert(pod.sandbox_id.clone(), pod)).await
    }

    async fn set_ports(&self, sandbox_id: &str, ports: Vec<ContainerPort>) -> Result<(), PolicyError> {
        let id = sandbox_id.to_owned();
        self.change(move |state| {
            if let Some(pod) = state.pods.get_mut(&id) {
                pod.ports = ports;
            }
        })
        .await
    }

    async fn unbind(&self, sandbox_id: &str) -> Result<(), PolicyError> {
        let id = sandbox_id.to_owned();
        self.change(move |state| _ = state.pods.remove(&id)).await
    }

    async fn restore(&self, pods: Vec<LocalPod>) -> Result<(), PolicyError> {
        let pods = pods.into_iter().filter(|p| !p.host_network).map(|p| (p.sandbox_id.clone(), p)).collect();
        let set = move |state: &mut State| {
            state.pods = pods;
            state.kernel = None;
            state.restored = true;
        };
        self.change(set).await
    }

    async fn update_pod_cidrs(&self, cidrs: Vec<IpNetwork>) -> Result<(), PolicyError> {
        self.change(move |state| state.node.pod_cidrs = cidrs).await
    }

    fn pods(&self) -> Vec<LocalPod> {
        self.shared.state().pods.values().cloned().collect()
    }

    fn explain(&self, from: &str, to: &str, port: &str) -> Result<Explanation, PolicyError> {
        let (node, pods) = {
            let state = self.shared.state();
            (state.node.clone(), state.pods.values().cloned().collect::<Vec<_>>())
        };
        explain::explain(&self.shared.snapshot(), &node, &pods, (from, to, port))
    }

    fn not_ready(&self) -> Option<String> {
        let blocked = self.shared.snapshot().facts.blocked.clone();
        blocked.or_else(|| self.shared.state().failed.clone())
    }

    fn degraded(&self) -> Vec<String> {
        let mut reasons = self.shared.backend.degraded();
        reasons.extend(self.shared.snapshot().facts.warnings.iter().cloned());
        reasons
    }
}
