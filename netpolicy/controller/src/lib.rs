//! The loop that keeps the kernel's rules as policies and local pods demand.
//!
//! One worker writes (`worker`); requests give it changes through a queue and are answered when these are in the
//! kernel. Requests that only ask read the `view` that it left: no lock is held over a compilation or a batch.
//!
//! ```text
//!  new -> restore -> program, unbind, new snapshots (each: one batch, or none if nothing changes)
//! ```
//! Before `restore` nothing is written: what an earlier daemon put in force stays.

mod change;
mod explain;
mod input;
mod view;
mod worker;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use cofferdam_netpolicy::backend::RuleBackend;
use cofferdam_netpolicy::ir::Ruleset;
use cofferdam_netpolicy::{
    ContainerPort, Explanation, LocalPod, NodeConfig, PolicyEngine, PolicyError, PolicySnapshot, PolicySource,
};
use ipnetwork::IpNetwork;
use tokio::sync::{mpsc, oneshot, watch};

use crate::change::{Change, Job};
use crate::input::Input;
use crate::view::View;
use crate::worker::Worker;

/// The policy engine of a node.
pub struct Controller {
    backend: Arc<dyn RuleBackend>,
    snapshots: watch::Receiver<Arc<PolicySnapshot>>,
    view: watch::Receiver<Arc<View>>,
    jobs: mpsc::UnboundedSender<Job>,
}

impl Controller {
    /// An engine over a backend and a source; its worker ends with it. Must be called inside a tokio runtime.
    pub fn start(backend: Arc<dyn RuleBackend>, source: &dyn PolicySource, node: NodeConfig) -> Self {
        let snapshots = source.snapshots();
        let snapshot = snapshots.borrow().clone();
        let (worker, view) = Worker::new(backend.clone(), Input { snapshot, node, pods: BTreeMap::new() });
        let (jobs, queue) = mpsc::unbounded_channel();
        tokio::spawn(worker::run(worker, queue, snapshots.clone()));
        Controller { backend, snapshots, view, jobs }
    }

    /// The rules that were written last.
    pub fn ruleset(&self) -> Arc<Ruleset> {
        self.view().rules.clone()
    }

    /// Reads the kernel's table and mends what is not as it was written.
    ///
    /// # Errors
    /// What the kernel refused.
    pub async fn reread(&self) -> Result<(), PolicyError> {
        self.change(Change::Reread).await
    }

    fn view(&self) -> Arc<View> {
        self.view.borrow().clone()
    }

    fn snapshot(&self) -> Arc<PolicySnapshot> {
        self.snapshots.borrow().clone()
    }

    /// Waits for a change's turn. Whoever stops waiting does not take it back.
    async fn change(&self, change: Change) -> Result<(), PolicyError> {
        let (done, outcome) = oneshot::channel();
        self.jobs.send(Job { change, done }).map_err(|_| PolicyError::Stopped)?;
        outcome.await.map_err(|_| PolicyError::Stopped)?
    }
}

#[async_trait]
impl PolicyEngine for Controller {
    async fn program(&self, pod: LocalPod) -> Result<(), PolicyError> {
        if let Some(reason) = &self.snapshot().facts.blocked {
            return Err(PolicyError::Blocked(reason.clone()));
        }
        if pod.host_network {
            return Ok(());
        }
        if !self.view().restored {
            return Err(PolicyError::Blocked("the pods that run already are not restored yet".into()));
        }
        self.change(Change::Program(pod)).await
    }

    async fn set_ports(&self, sandbox_id: &str, ports: Vec<ContainerPort>) -> Result<(), PolicyError> {
        self.change(Change::SetPorts(sandbox_id.to_owned(), ports)).await
    }

    async fn unbind(&self, sandbox_id: &str) -> Result<(), PolicyError> {
        self.change(Change::Unbind(sandbox_id.to_owned())).await
    }

    async fn restore(&self, pods: Vec<LocalPod>) -> Result<(), PolicyError> {
        let pods = pods.into_iter().filter(|p| !p.host_network).map(|p| (p.sandbox_id.clone(), p)).collect();
        self.change(Change::Restore(pods)).await
    }

    async fn update_pod_cidrs(&self, cidrs: Vec<IpNetwork>) -> Result<(), PolicyError> {
        self.change(Change::PodCidrs(cidrs)).await
    }

    fn pods(&self) -> Vec<LocalPod> {
        self.view().pods.values().cloned().collect()
    }

    async fn explain(&self, from: &str, to: &str, port: &str) -> Result<Explanation, PolicyError> {
        let (view, snapshot) = (self.view(), self.snapshot());
        let (from, to, port) = (from.to_owned(), to.to_owned(), port.to_owned());
        let answer = tokio::task::spawn_blocking(move || {
            let pods: Vec<LocalPod> = view.pods.values().cloned().collect();
            explain::explain(&snapshot, &view.node, &pods, (&from, &to, &port))
        });
        answer.await.map_err(|_| PolicyError::Stopped)?
    }

    fn not_ready(&self) -> Option<String> {
        let blocked = self.snapshot().facts.blocked.clone();
        blocked.or_else(|| self.view().failed.clone())
    }

    fn degraded(&self) -> Vec<String> {
        let mut reasons = self.backend.degraded();
        reasons.extend(self.snapshot().facts.warnings.iter().cloned());
        reasons.extend(self.view().degraded());
        reasons
    }
}
