//! Tenants: which tenant a namespace belongs to, from the live snapshot.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use cofferdam_tenant::{DEFAULT_TENANT, ResolveError, SYSTEM_TENANT, TENANT_LABEL, Tenant, TenantRegistry, TenantSpec};
use cofferdam_tenant_cluster::{ClusterFacts, Unread};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// Returns once the source's newest snapshot has what the source holds at the time of the call.
pub type Refresh = Box<dyn Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// How long a namespace that is not known yet is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Resolves namespaces from the snapshots of a source, whatever else these contain beside the facts. The tenant
/// `system` comes from the configuration alone, so that static pods start before any snapshot is there.
pub struct SnapshotRegistry<S> {
    snapshots: watch::Receiver<Arc<S>>,
    refresh: Refresh,
    system: RwLock<System>,
}

struct System {
    tenant: Arc<Tenant>,
    namespaces: BTreeSet<String>,
}

impl System {
    fn new(spec: TenantSpec, namespaces: BTreeSet<String>) -> Self {
        System { tenant: Arc::new(Tenant { name: SYSTEM_TENANT.into(), spec }), namespaces }
    }
}

impl<S> SnapshotRegistry<S> {
    /// A registry over the snapshots of a source. `refresh` comes before each answer: a pod keeps the tenant it was
    /// admitted for, so what was written before its RunPodSandbox must count, whether it has been noticed or not.
    pub fn new(
        snapshots: watch::Receiver<Arc<S>>,
        refresh: Refresh,
        system: TenantSpec,
        system_namespaces: BTreeSet<String>,
    ) -> Self {
        let system = RwLock::new(System::new(system, system_namespaces));
        SnapshotRegistry { snapshots, refresh, system }
    }

    /// Takes another tenant `system`, when the configuration has changed.
    pub fn set_system(&self, system: TenantSpec, system_namespaces: BTreeSet<String>) {
        *self.system.write().unwrap_or_else(PoisonError::into_inner) = System::new(system, system_namespaces);
    }

    fn system_of(&self, namespace: &str) -> Option<Arc<Tenant>> {
        let system = self.system.read().unwrap_or_else(PoisonError::into_inner);
        system.namespaces.contains(namespace).then(|| system.tenant.clone())
    }
}

/// The tenant of a namespace; `None` if the namespace is not known yet.
fn look_up(facts: &ClusterFacts, namespace: &str) -> Option<Result<Arc<Tenant>, ResolveError>> {
    let refuse = |what: String| Some(Err(ResolveError::Precondition(what)));
    let labels = facts.namespaces.get(namespace);
    if labels.is_none() {
        match &facts.unread {
            Some(Unread { soon: true, .. }) => return None,
            Some(Unread { reason, .. }) => return Some(Err(ResolveError::Unavailable(unknown(namespace, reason)))),
            None if !facts.complete => return None,
            None => {}
        }
    }
    let name = match labels.and_then(|l| l.get(TENANT_LABEL)) {
        None if facts.refuse_unlabelled => {
            return refuse(format!("namespace {namespace:?} has no label {TENANT_LABEL}, which this node demands"));
        }
        None => DEFAULT_TENANT,
        Some(name) if name == SYSTEM_TENANT => {
            return refuse(format!("namespace {namespace:?}: no label makes a namespace one of the tenant \"system\""));
        }
        Some(name) => name,
    };
    match facts.tenants.get(name) {
        Some(spec) => Some(Ok(Arc::new(Tenant { name: name.to_owned(), spec: (**spec).clone() }))),
        None => refuse(format!("namespace {namespace:?} belongs to tenant {name:?}, which does not exist")),
    }
}

fn unknown(namespace: &str, reason: &str) -> String {
    format!("namespace {namespace:?} is not known: it may be in what could not be read, {reason}")
}

#[async_trait]
impl<S: AsRef<ClusterFacts> + Send + Sync> TenantRegistry for SnapshotRegistry<S> {
    async fn resolve(&self, namespace: &str) -> Result<Arc<Tenant>, ResolveError> {
        if let Some(system) = self.system_of(namespace) {
            return Ok(system);
        }
        let mut snapshots = self.snapshots.clone();
        let deadline = Instant::now() + PATIENCE;
        if timeout_at(deadline, (self.refresh)()).await.is_err() {
            let reason = format!("namespace {namespace:?}: the cluster's objects could not be read in time");
            return Err(ResolveError::Unavailable(reason));
        }
        loop {
            let snapshot = snapshots.borrow_and_update().clone();
            let facts = snapshot.as_ref().as_ref();
            let missing = match &facts.blocked {
                // Waiting does not help: a broken file stays broken until somebody mends it.
                Some(reason) if facts.complete => return Err(ResolveError::Unavailable(reason.clone())),
                Some(reason) => reason.clone(),
                None => match look_up(facts, namespace) {
                    Some(found) => return found,
                    None => match &facts.unread {
                        Some(unread) => unknown(namespace, &unread.reason),
                        None => format!("namespace {namespace:?} is not known yet"),
                    },
                },
            };
            if !matches!(timeout_at(deadline, snapshots.changed()).await, Ok(Ok(()))) {
                return Err(ResolveError::Unavailable(missing));
            }
        }
    }

    fn tenants(&self) -> Vec<Arc<Tenant>> {
        let snapshot = self.snapshots.borrow();
        let facts = snapshot.as_ref().as_ref();
        let all = facts.tenants.iter();
        all.map(|(name, spec)| Arc::new(Tenant { name: name.clone(), spec: (**spec).clone() })).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(label: Option<&str>) -> ClusterFacts {
        let labels = label.map(|l| (TENANT_LABEL.to_owned(), l.to_owned())).into_iter().collect();
        ClusterFacts {
            namespaces: [("shop".to_owned(), labels)].into(),
            tenants: ["acme", DEFAULT_TENANT].map(|n| (n.to_owned(), Arc::default())).into(),
            ..Default::default()
        }
    }

    type Sender = watch::Sender<Arc<ClusterFacts>>;

    fn registry(facts: ClusterFacts) -> (Sender, SnapshotRegistry<ClusterFacts>) {
        let (source, snapshots) = watch::channel(Arc::new(facts));
        let refresh: Refresh = Box::new(|| Box::pin(async {}));
        let registry =
            SnapshotRegistry::new(snapshots, refresh, TenantSpec::default(), ["kube-system".to_owned()].into());
        (source, registry)
    }

    #[tokio::test]
    async fn the_label_of_the_namespace_decides() {
        assert_eq!(registry(snapshot(Some("acme"))).1.resolve("shop").await.unwrap().name, "acme");
        assert_eq!(registry(snapshot(None)).1.resolve("shop").await.unwrap().name, DEFAULT_TENANT);
    }

    #[tokio::test]
    async fn unknown_tenants_and_system_by_label_are_refused() {
        for label in ["nobody", SYSTEM_TENANT] {
            let refused = registry(snapshot(Some(label))).1.resolve("shop").await;
            assert!(matches!(refused, Err(ResolveError::Precondition(_))), "{label}");
        }
    }

    #[tokio::test]
    async fn unlabelled_namespaces_can_be_refused() {
        let strict = ClusterFacts { refuse_unlabelled: true, ..snapshot(None) };
        assert!(matches!(registry(strict).1.resolve("shop").await, Err(ResolveError::Precondition(_))));
    }

    #[tokio::test]
    async fn system_namespaces_need_no_snapshot() {
        let (_source, registry) = registry(ClusterFacts::blocked("nothing yet"));
        assert_eq!(registry.resolve("kube-system").await.unwrap().name, SYSTEM_TENANT);
    }

    #[tokio::test]
    async fn a_namespace_that_comes_in_time_is_waited_for_and_never_default() {
        let (source, registry) = registry(ClusterFacts::default());
        let late = async {
            source.send_replace(Arc::new(snapshot(Some("acme"))));
        };
        let (found, ()) = tokio::join!(registry.resolve("shop"), late);
        assert_eq!(found.unwrap().name, "acme");
    }

    #[tokio::test]
    async fn a_broken_directory_answers_at_once() {
        let broken = ClusterFacts { complete: true, ..ClusterFacts::blocked("a.yaml:3: bad") };
        let error = registry(broken).1.resolve("shop").await.unwrap_err();
        assert_eq!(error, ResolveError::Unavailable("a.yaml:3: bad".into()));
    }

    #[tokio::test]
    async fn what_was_written_before_the_question_counts() {
        let lax = ClusterFacts { complete: true, namespaces: [].into(), ..snapshot(None) };
        let (source, snapshots) = watch::channel(Arc::new(lax));
        let refresh: Refresh = Box::new(move || {
            source.send_replace(Arc::new(snapshot(Some("acme"))));
            Box::pin(async {})
        });
        let registry = SnapshotRegistry::new(snapshots, refresh, TenantSpec::default(), BTreeSet::new());
        assert_eq!(registry.resolve("shop").await.unwrap().name, "acme");
    }

    #[tokio::test(start_paused = true)]
    async fn a_namespace_that_may_be_in_an_unread_file_is_not_unlabelled() {
        let unread = |soon| Some(Unread { reason: "a.yaml:0: x".into(), soon });
        let facts = |soon| ClusterFacts { complete: true, unread: unread(soon), ..snapshot(None) };
        for soon in [false, true] {
            let (_source, registry) = registry(facts(soon));
            let error = registry.resolve("new").await.unwrap_err();
            assert!(matches!(&error, ResolveError::Unavailable(reason) if reason.contains("a.yaml")), "{error}");
            assert_eq!(registry.resolve("shop").await.unwrap().name, DEFAULT_TENANT, "what is known stays");
        }
        let (source, registry) = registry(facts(true));
        let written = async {
            source.send_replace(Arc::new(ClusterFacts { unread: None, ..facts(true) }));
        };
        let (found, ()) = tokio::join!(registry.resolve("new"), written);
        assert_eq!(found.unwrap().name, DEFAULT_TENANT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_does_not_answer_is_not_believed() {
        let (_source, snapshots) = watch::channel(Arc::new(snapshot(None)));
        let refresh: Refresh = Box::new(|| Box::pin(std::future::pending()));
        let registry = SnapshotRegistry::new(snapshots, refresh, TenantSpec::default(), BTreeSet::new());
        assert!(matches!(registry.resolve("shop").await, Err(ResolveError::Unavailable(_))));
    }
}
