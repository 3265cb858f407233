//! Tenants: which tenant a namespace belongs to, from the live snapshot.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use cofferdam_tenant::{DEFAULT_TENANT, ResolveError, SYSTEM_TENANT, TENANT_LABEL, Tenant, TenantRegistry, TenantSpec};
use cofferdam_tenant_cluster::ClusterFacts;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// How long a namespace that is not known yet is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Resolves namespaces from the snapshots of a source, whatever else these contain beside the facts. The tenant
/// `system` comes from the configuration alone, so that static pods start before any snapshot is there.
pub struct SnapshotRegistry<S> {
    snapshots: watch::Receiver<Arc<S>>,
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
    /// A registry over the snapshots of a source.
    pub fn new(snapshots: watch::Receiver<Arc<S>>, system: TenantSpec, system_namespaces: BTreeSet<String>) -> Self {
        let system = RwLock::new(System::new(system, system_namespaces));
        SnapshotRegistry { snapshots, system }
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
    if labels.is_none() && !facts.complete {
        return None;
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

#[async_trait]
impl<S: AsRef<ClusterFacts> + Send + Sync> TenantRegistry for SnapshotRegistry<S> {
    async fn resolve(&self, namespace: &str) -> Result<Arc<Tenant>, ResolveError> {
        if let Some(system) = self.system_of(namespace) {
            return Ok(system);
        }
        let mut snapshots = self.snapshots.clone();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let snapshot = snapshots.borrow_and_update().clone();
            let facts = snapshot.as_ref().as_ref();
            let missing = match &facts.blocked {
                // Waiting does not help: a broken file stays broken until somebody mends it.
                Some(reason) if facts.complete => return Err(ResolveError::Unavailable(reason.clone())),
                Some(reason) => reason.clone(),
                None => match look_up(facts, namespace) {
                    Some(found) => return found,
                    None => format!("namespace {namespace:?} is not known yet"),
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
        let registry = SnapshotRegistry::new(snapshots, TenantSpec::default(), ["kube-system".to_owned()].into());
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
}
