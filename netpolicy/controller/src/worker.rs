//! The one who writes rules: takes changes from a queue, compiles, and gives the kernel one batch a turn.
//!
//! State: `Worker`, which nobody else sees. It runs off the async threads; what others read is the [`View`] that it
//! leaves after each turn.
//!
//! A batch that the kernel refuses is tried again in parts: the facts alone, then each tenant's policies and pods in a
//! batch of their own. So what one tenant writes fails that tenant's changes only; it keeps the rules that it had, and
//! `status` says so. Only what is left without any tenant's change makes the node not ready.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use cofferdam_netpolicy::backend::{BackendError, RuleBackend};
use cofferdam_netpolicy::diff::diff;
use cofferdam_netpolicy::ir::{Ruleset, Snapshot};
use cofferdam_netpolicy::policy_limit::over_limit;
use cofferdam_netpolicy::{LocalPod, PolicyError, PolicySnapshot, compile};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::change::{Change, Job};
use crate::input::Input;
use crate::view::View;

/// Between tries after the kernel refused a batch: doubled up to the second.
const RETRY: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(30)];

/// Most policies over the limit that `status` names.
const NAMED: usize = 10;

/// Tenants whose changes are refused.
type Errors = BTreeMap<String, Arc<BackendError>>;

pub(crate) struct Worker {
    backend: Arc<dyn RuleBackend>,
    view: watch::Sender<Arc<View>>,
    /// What is asked for.
    wanted: Input,
    /// What the kernel's rules were made of.
    force: Input,
    restored: bool,
    /// What the kernel holds; `None`: must be read.
    kernel: Option<Snapshot>,
    rules: Arc<Ruleset>,
    failed: Option<String>,
    refused: BTreeMap<String, String>,
    oversized: Arc<Vec<String>>,
    retry: Option<(Instant, Duration)>,
}

/// Runs turns until nobody can ask any more.
pub(crate) async fn run(
    mut worker: Worker,
    mut jobs: mpsc::UnboundedReceiver<Job>,
    mut snapshots: watch::Receiver<Arc<PolicySnapshot>>,
) {
    let mut followed = true;
    loop {
        let mut batch = Vec::new();
        let retry = worker.retry.map(|(at, _)| at);
        tokio::select! {
            job = jobs.recv() => match job {
                Some(job) => batch.push(job),
                None => return,
            },
            changed = snapshots.changed(), if followed => followed = changed.is_ok(),
            () = tokio::time::sleep_until(retry.unwrap_or_else(Instant::now)), if retry.is_some() => {}
        }
        while let Ok(job) = jobs.try_recv() {
            batch.push(job);
        }
        let snapshot = snapshots.borrow_and_update().clone();
        let turn = tokio::task::spawn_blocking(move || {
            worker.turn(snapshot, batch);
            worker
        });
        match turn.await {
            Ok(after) => worker = after,
            Err(error) => {
                // Whoever waits is told that the engine has stopped; the kernel keeps the last rules.
                tracing::error!(%error, "the policy engine has stopped");
                return;
            }
        }
    }
}

impl Worker {
    pub(crate) fn new(backend: Arc<dyn RuleBackend>, input: Input) -> (Self, watch::Receiver<Arc<View>>) {
        let rules = Arc::new(Ruleset::new(&input.node.table));
        let view = View {
            node: input.node.clone(),
            pods: Arc::default(),
            restored: false,
            failed: None,
            refused: BTreeMap::new(),
            oversized: Arc::default(),
            rules: rules.clone(),
        };
        let (view, seen) = watch::channel(Arc::new(view));
        let worker = Worker {
            backend,
            view,
            wanted: input.clone(),
            force: input,
            restored: false,
            kernel: None,
            rules,
            failed: None,
            refused: BTreeMap::new(),
            oversized: Arc::default(),
            retry: None,
        };
        (worker, seen)
    }

    fn turn(&mut self, snapshot: Arc<PolicySnapshot>, jobs: Vec<Job>) {
        if !Arc::ptr_eq(&self.wanted.snapshot, &snapshot) || jobs.iter().any(|j| matches!(j.change, Change::Restore(_)))
        {
            self.oversized = Arc::new(oversized(&snapshot));
        }
        self.wanted.snapshot = snapshot;
        let due = self.retry.is_some_and(|(at, _)| at <= Instant::now());
        let results = match self.change(&jobs, due) {
            Some(results) => results,
            // Something of the many is refused: each on its own.
            None => {
                jobs.iter().flat_map(|job| self.change(std::slice::from_ref(job), due).unwrap_or_default()).collect()
            }
        };
        if !self.refused.is_empty() {
            // Who has got all that it wants, or wants it no more, is refused nothing.
            let behind = self.force.differing(&self.wanted);
            self.refused.retain(|tenant, _| behind.contains(tenant));
        }
        self.plan_retry(due);
        self.publish();
        for (job, result) in jobs.into_iter().zip(results) {
            // Nobody waits any more: the change stays all the same.
            let _ = job.done.send(result.map_err(PolicyError::Backend));
        }
    }

    /// Puts these changes in force, and what else is wanted. What fails is taken back. `None`: several jobs, and not
    /// all of them can be; nothing is decided.
    fn change(&mut self, jobs: &[Job], due: bool) -> Option<Vec<Result<(), Arc<BackendError>>>> {
        let before = (self.wanted.clone(), self.restored);
        for job in jobs {
            job.change.apply(&mut self.wanted);
            self.restored |= matches!(job.change, Change::Restore(_));
            if matches!(job.change, Change::Restore(_) | Change::Reread) {
                self.kernel = None;
            }
        }
        if !self.restored {
            return Some(jobs.iter().map(|_| Ok(())).collect());
        }
        let needed = jobs.iter().filter_map(|job| self.wanted.pods.get(job.change.needs()?));
        let needed: BTreeSet<String> = needed.map(|pod| pod.tenant.clone()).collect();
        let waits = |tenant: &str| !due && self.refused.contains_key(tenant) && !needed.contains(tenant);
        let waiting: BTreeSet<String> = self.refused.keys().filter(|t| waits(t)).cloned().collect();
        match self.advance(&waiting) {
            Ok(errors) if errors.is_empty() || jobs.len() <= 1 => {
                Some(jobs.iter().map(|job| self.outcome(job, &before.0, &errors)).collect())
            }
            Err(error) if jobs.len() <= 1 => {
                (self.wanted, self.restored) = before;
                Some(jobs.iter().map(|_| Err(error.clone())).collect())
            }
            _ => {
                (self.wanted, self.restored) = before;
                None
            }
        }
    }

    /// Whether a job's pod has its rules; if not, it is what it was before.
    fn outcome(&mut self, job: &Job, before: &Input, errors: &Errors) -> Result<(), Arc<BackendError>> {
        let Some(id) = job.change.needs() else { return Ok(()) };
        let Some(pod) = self.wanted.pods.get(id) else { return Ok(()) };
        let Some(error) = errors.get(&pod.tenant) else { return Ok(()) };
        match before.pods.get(id) {
            Some(old) => _ = self.wanted.pods.insert(id.to_owned(), old.clone()),
            None => _ = self.wanted.pods.remove(id),
        }
        Err(error.clone())
    }

    /// Moves what is in force to what is wanted, but for the tenants that wait. Answers whose changes are refused.
    ///
    /// # Errors
    /// What no tenant can be blamed for; then nothing changed.
    fn advance(&mut self, waiting: &BTreeSet<String>) -> Result<Errors, Arc<BackendError>> {
        let all = match waiting.is_empty() {
            true => self.wanted.clone(),
            false => self.force.with(&self.wanted, |tenant| !waiting.contains(tenant)),
        };
        let result = self.attempt(all).or_else(|error| self.advance_apart(waiting, error));
        self.failed = result.as_ref().err().map(|e| format!("network policy: {e}"));
        result
    }

    /// The same in one batch for each tenant.
    fn advance_apart(
        &mut self,
        waiting: &BTreeSet<String>,
        error: Arc<BackendError>,
    ) -> Result<Errors, Arc<BackendError>> {
        tracing::warn!(%error, "the kernel refused a change of rules, which is tried again tenant by tenant");
        let facts = self.force.with(&self.wanted, |_| false);
        self.attempt(facts)?;
        let mut errors = BTreeMap::new();
        for tenant in self.force.differing(&self.wanted).difference(waiting) {
            let one = self.force.with(&self.wanted, |t| t == tenant);
            if let Err(error) = self.attempt(one) {
                self.refused.insert(tenant.clone(), error.to_string());
                errors.insert(tenant.clone(), error);
            }
        }
        Ok(errors)
    }

    /// One batch, from what the kernel holds to what this input demands.
    fn attempt(&mut self, input: Input) -> Result<Errors, Arc<BackendError>> {
        let kernel = match self.kernel.take() {
            Some(kernel) => kernel,
            None => self.backend.read()?,
        };
        let pods: Vec<LocalPod> = input.pods.values().cloned().collect();
        let desired = compile(&input.snapshot, &input.node, &pods);
        let batch = diff(&kernel, &desired);
        if !batch.is_empty() {
            // On an error `kernel` stays unknown and is read before the next batch.
            self.backend.apply(&batch)?;
        }
        self.kernel = Some(desired.snapshot());
        self.rules = Arc::new(desired);
        self.force = input;
        Ok(BTreeMap::new())
    }

    fn plan_retry(&mut self, due: bool) {
        let behind = self.restored && (self.failed.is_some() || !self.refused.is_empty());
        self.retry = match self.retry {
            _ if !behind => None,
            Some((_, pause)) if due => {
                let pause = (pause * 2).min(RETRY[1]);
                Some((Instant::now() + pause, pause))
            }
            Some(planned) => Some(planned),
            None => Some((Instant::now() + RETRY[0], RETRY[0])),
        };
    }

    fn publish(&self) {
        self.view.send_replace(Arc::new(View {
            node: self.wanted.node.clone(),
            pods: Arc::new(self.wanted.pods.clone()),
            restored: self.restored,
            failed: self.failed.clone(),
            refused: self.refused.clone(),
            oversized: self.oversized.clone(),
            rules: self.rules.clone(),
        }));
    }
}

/// The policies that are over the limit, as `status` tells them.
fn oversized(snapshot: &PolicySnapshot) -> Vec<String> {
    let all = snapshot.policies.iter().filter_map(|p| Some((p, over_limit(&p.spec)?)));
    let mut told: Vec<String> = all
        .map(|(p, reason)| {
            format!("NetworkPolicy {}/{} allows nothing to the pods that it selects: {reason}", p.namespace, p.name)
        })
        .collect();
    if told.len() > NAMED {
        let more = told.len() - NAMED;
        told.truncate(NAMED);
        told.push(format!("{more} more NetworkPolicies are over the limit of size"));
    }
    told
}
