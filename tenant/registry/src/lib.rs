//! Tenants: which tenant a namespace belongs to, from the live snapshot.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use cofferdam_netpolicy::{ClusterSnapshot, PolicySource};
use cofferdam_tenant::{DEFAULT_TENANT, ResolveError, SYSTEM_TENANT, TENANT_LABEL, Tenant, TenantRegistry, TenantSpec};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// For a namespace that is not known yet.
const PATIENCE: Duration = Duration::from_secs(5);

/// Resolves from snapshots; the tenant `system` from the config alone, so that static pods start before any watch.
pub struct SnapshotRegistry {
    snapshots: watch::Receiver<Arc<ClusterSnapshot>>,
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

impl SnapshotRegistry {
    /// A registry over a source.
    pub fn new(source: &dyn PolicySource, system: TenantSpec, system_namespaces: BTreeSet<String>) -> Self {
        let system = RwLock::new(System::new(system, system_namespaces));
        SnapshotRegistry { snapshots: source.snapshots(), system }
    }

    /// The configuration's tenant `system` has changed.
    pub fn set_system(&self, system: TenantSpec, system_namespaces: BTreeSet<String>) {
        *self.system.write().unwrap_or_else(PoisonError::into_inner) = System::new(system, system_namespaces);
    }

    fn system_of(&self, namespace: &str) -> Option<Arc<Tenant>> {
        let system = self.system.read().unwrap_or_else(PoisonError::into_inner);
        system.namespaces.contains(namespace).then(|| system.tenant.clone())
    }
}

/// `None`: not known yet.
fn look_up(snapshot: &ClusterSnapshot, namespace: &str) -> Option<Result<Arc<Tenant>, ResolveError>> {
    let refuse = |what: String| Some(Err(ResolveError::Precondition(what)));
    let labels = snapshot.namespaces.get(namespace);
    if labels.is_none() && !snapshot.complete {
        return None;
    }
    let name = match labels.and_then(|l| l.get(TENANT_LABEL)) {
        None if snapshot.refuse_unlabelled => {
            return refuse(format!("namespace {namespace:?} has no label {TENANT_LABEL}, which this node demands"));
        }
        None => DEFAULT_TENANT,
        Some(name) if name == SYSTEM_TENANT => {
            return refuse(format!("namespace {namespace:?}: no label makes a namespace one of the tenant \"system\""));
        }
        Some(name) => name,
    };
    match snapshot.tenants.get(name) {
        Some(spec) => Some(Ok(Arc::new(Tenant { name: name.to_owned(), spec: (**spec).clone() }))),
        None => refuse(format!("namespace {namespace:?} belongs to tenant {name:?}, which does not exist")),
    }
}

#[async_trait]
impl TenantRegistry for SnapshotRegistry {
    async fn resolve(&self, namespace: &str) -> Result<Arc<Tenant>, ResolveError> {
        if let Some(system) = self.system_of(namespace) {
            return Ok(system);
        }
        let mut snapshots = self.snapshots.clone();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let snapshot = snapshots.borrow_and_update().clone();
            let missing = match &snapshot.blocked {
                // A broken file stays so until somebody mends it.
                Some(reason) if snapshot.complete => return Err(ResolveError::Unavailable(reason.clone())),
                Some(reason) => reason.clone(),
                None => match look_up(&snapshot, namespace) {
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
        let all = snapshot.tenants.iter();
        all.map(|(name, spec)| Arc::new(Tenant { name: name.clone(), spec: (**spec).clone() })).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(watch::Sender<Arc<ClusterSnapshot>>);

    impl PolicySource for Fixed {
        fn snapshots(&self) -> watch::Receiver<Arc<ClusterSnapshot>> {
            self.0.subscribe()
        }
    }

    fn snapshot(label: Option<&str>) -> ClusterSnapshot {
        let labels = label.map(|l| (TENANT_LABEL.to_owned(), l.to_owned())).into_iter().collect();
        ClusterSnapshot {
            namespaces: [("shop".to_owned(), labels)].into(),
            tenants: ["acme", DEFAULT_TENANT].map(|n| (n.to_owned(), Arc::default())).into(),
            ..Default::default()
        }
    }

    fn registry(snapshot: ClusterSnapshot) -> (Fixed, SnapshotRegistry) {
        let source = Fixed(watch::channel(Arc::new(snapshot)).0);
        let registry = SnapshotRegistry::new(&source, TenantSpec::default(), ["kube-system".to_owned()].into());
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
        let strict = ClusterSnapshot { refuse_unlabelled: true, ..snapshot(None) };
        assert!(matches!(registry(strict).1.resolve("shop").await, Err(ResolveError::Precondition(_))));
    }

    #[tokio::test]
    async fn system_namespaces_need_no_snapshot() {
        let (_source, registry) = registry(ClusterSnapshot::blocked("nothing yet"));
        assert_eq!(registry.resolve("kube-system").await.unwrap().name, SYSTEM_TENANT);
    }

    #[tokio::test]
    async fn a_namespace_that_comes_in_time_is_waited_for_and_never_default() {
        let (source, registry) = registry(ClusterSnapshot::default());
        let late = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            source.0.send_replace(Arc::new(snapshot(Some("acme"))));
        };
        let (found, ()) = tokio::join!(registry.resolve("shop"), late);
        assert_eq!(found.unwrap().name, "acme");
    }

    #[tokio::test]
    async fn a_broken_directory_answers_at_once() {
        let broken = ClusterSnapshot { complete: true, ..ClusterSnapshot::blocked("a.yaml:3: bad") };
        let error = registry(broken).1.resolve("shop").await.unwrap_err();
        assert_eq!(error, ResolveError::Unavailable("a.yaml:3: bad".into()));
    }
}
