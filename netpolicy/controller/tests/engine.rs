//! The controller over a kernel made of memory.
// A test that unwraps fails with the line it is about.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cofferdam_netpolicy::backend::{BackendError, RuleBackend};
use cofferdam_netpolicy::diff::{Batch, Op};
use cofferdam_netpolicy::ir::{Interval, SeenChain, Snapshot, Value};
use cofferdam_netpolicy::policy::NetworkPolicy;
use cofferdam_netpolicy::{
    LocalPod, NodeConfig, PolicyEngine as _, PolicyError, PolicySnapshot, PolicySource, Verdict,
};
use cofferdam_netpolicy_controller::Controller;
use cofferdam_tenant::{DEFAULT_TENANT, TENANT_LABEL};
use cofferdam_tenant_cluster::ClusterFacts;
use tokio::sync::watch;

#[derive(Default)]
struct Kernel {
    held: Snapshot,
    batches: usize,
    reads: usize,
    refuse: bool,
    /// Batches with an element that begins so are refused.
    poison: Option<Value>,
}

/// Batches wait while the second is true.
#[derive(Default)]
struct Memory(Mutex<Kernel>, AtomicBool);

impl RuleBackend for Memory {
    fn read(&self) -> Result<Snapshot, BackendError> {
        let mut kernel = self.0.lock().unwrap();
        kernel.reads += 1;
        Ok(kernel.held.clone())
    }

    fn apply(&self, batch: &Batch) -> Result<(), BackendError> {
        while self.1.load(Relaxed) {
            std::thread::yield_now();
        }
        let mut kernel = self.0.lock().unwrap();
        let poisoned = |op: &Op| match (op, &kernel.poison) {
            (Op::AddElements(_, _, new), Some(poison)) => new.keys().any(|key| key[0].first == *poison),
            _ => false,
        };
        if kernel.refuse || batch.ops.iter().any(poisoned) {
            return Err(BackendError::Invalid { place: "test".into(), reason: "refused".into() });
        }
        kernel.batches += 1;
        batch.ops.iter().for_each(|op| replay(&mut kernel.held, &batch.table, op));
        Ok(())
    }

    fn degraded(&self) -> Vec<String> {
        Vec::new()
    }
}

fn replay(held: &mut Snapshot, table: &str, op: &Op) {
    match op {
        Op::AddTable => held.table = Some(table.into()),
        Op::DelTable => *held = Snapshot::default(),
        Op::AddChain(name, base) => {
            _ = held.chains.insert(name.clone(), SeenChain { base: base.clone(), digest: None });
        }
        Op::FlushChain(name) => held.chains.get_mut(name).unwrap().digest = None,
        Op::AddRules(name, chain) => held.chains.get_mut(name).unwrap().digest = Some(chain.digest()),
        Op::DelChain(name) => _ = held.chains.remove(name).unwrap(),
        Op::AddSet(name, set) => _ = held.sets.insert(name.clone(), Arc::new(set.clone())),
        Op::AddElements(name, _, new) => Arc::make_mut(held.sets.get_mut(name).unwrap()).elements.extend(new.clone()),
        Op::DelElements(name, _, gone) => {
            let set = Arc::make_mut(held.sets.get_mut(name).unwrap());
            gone.keys().for_each(|k| _ = set.elements.remove(k).expect("an element that is there"));
        }
        Op::DelSet(name) => _ = held.sets.remove(name).unwrap(),
    }
}

impl Memory {
    fn bound(&self, interface: &str) -> bool {
        let kernel = self.0.lock().unwrap();
        kernel.held.sets.get("bind4").is_some_and(|s| s.elements.keys().any(|k| k[0] == Interval::ifname(interface)))
    }

    fn chains(&self, prefix: &str) -> usize {
        self.0.lock().unwrap().held.chains.keys().filter(|name| name.starts_with(prefix)).count()
    }

    fn batches(&self) -> usize {
        self.0.lock().unwrap().batches
    }

    fn refuse(&self, refuse: bool) {
        self.0.lock().unwrap().refuse = refuse;
    }
}

struct Source(watch::Sender<Arc<PolicySnapshot>>);

impl PolicySource for Source {
    fn snapshots(&self) -> watch::Receiver<Arc<PolicySnapshot>> {
        self.0.subscribe()
    }
}

fn cluster() -> PolicySnapshot {
    let facts = ClusterFacts {
        tenants: [(DEFAULT_TENANT.to_owned(), Arc::default())].into(),
        complete: true,
        ..Default::default()
    };
    PolicySnapshot { facts, policies: Vec::new() }
}

fn pod(n: u8) -> LocalPod {
    LocalPod {
        sandbox_id: format!("s{n}"),
        namespace: "shop".into(),
        name: format!("p{n}"),
        uid: format!("u{n}"),
        labels: Some(Default::default()),
        addresses: vec![format!("10.88.0.{n}").parse().unwrap()],
        interface: format!("cfd{n}"),
        tenant: DEFAULT_TENANT.into(),
        host_network: false,
        ports: Vec::new(),
    }
}

fn engine(kernel: &Arc<Memory>, snapshot: PolicySnapshot) -> (Source, Controller) {
    let source = Source(watch::channel(Arc::new(snapshot)).0);
    let node = NodeConfig {
        table: "t".into(),
        interface_prefix: "cfd".into(),
        pod_cidrs: vec!["10.88.0.0/24".parse().unwrap()],
        addresses: vec!["192.168.0.10".parse().unwrap()],
        nat64_prefixes: Vec::new(),
    };
    let controller = Controller::start(kernel.clone(), &source, node);
    (source, controller)
}

async fn until(mut holds: impl FnMut() -> bool) {
    let patience = tokio::time::timeout(Duration::from_secs(180), async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    patience.await.expect("it did not come about");
}

#[tokio::test]
async fn nothing_is_written_before_the_running_pods_are_known_and_no_pod_starts_then() {
    let kernel = Arc::new(Memory::default());
    let (_source, engine) = engine(&kernel, cluster());
    assert!(matches!(engine.program(pod(2)).await, Err(PolicyError::Blocked(_))));
    assert_eq!(kernel.batches(), 0);
    engine.restore(vec![pod(3)]).await.unwrap();
    assert!(kernel.bound("cfd3") && !kernel.bound("cfd2"));
    engine.program(pod(2)).await.unwrap();
    assert!(kernel.bound("cfd2"));
}

#[tokio::test]
async fn a_restart_writes_what_differs_only() {
    let kernel = Arc::new(Memory::default());
    let (_source, first) = engine(&kernel, cluster());
    first.restore(Vec::new()).await.unwrap();
    first.program(pod(2)).await.unwrap();
    first.program(pod(3)).await.unwrap();
    let (before, ruleset) = (kernel.batches(), first.ruleset());
    assert_eq!(kernel.0.lock().unwrap().held, ruleset.snapshot(), "the kernel holds what was compiled");
    let (_source, second) = engine(&kernel, cluster());
    second.restore(vec![pod(2), pod(3)]).await.unwrap();
    assert_eq!(kernel.batches(), before);
    // One that ended meanwhile is unbound in one batch.
    let (_source, third) = engine(&kernel, cluster());
    third.restore(vec![pod(2)]).await.unwrap();
    assert_eq!(kernel.batches(), before + 1);
    assert!(kernel.bound("cfd2") && !kernel.bound("cfd3"));
}

#[tokio::test]
async fn a_pod_that_cannot_be_programmed_is_an_error_and_leaves_nothing() {
    let kernel = Arc::new(Memory::default());
    let (_source, engine) = engine(&kernel, cluster());
    engine.restore(Vec::new()).await.unwrap();
    kernel.refuse(true);
    assert!(matches!(engine.program(pod(2)).await, Err(PolicyError::Backend(_))));
    assert!(engine.pods().is_empty() && engine.not_ready().is_none());
    kernel.refuse(false);
    engine.program(pod(3)).await.unwrap();
    assert!(kernel.bound("cfd3") && !kernel.bound("cfd2"));
    assert_eq!(engine.not_ready(), None);
}

#[tokio::test]
async fn an_unbound_pod_stays_so_and_unbinding_twice_is_well() {
    let kernel = Arc::new(Memory::default());
    let (_source, engine) = engine(&kernel, cluster());
    engine.restore(vec![pod(2)]).await.unwrap();
    engine.unbind("s2").await.unwrap();
    engine.set_ports("s2", Vec::new()).await.unwrap();
    engine.unbind("s2").await.unwrap();
    assert!(!kernel.bound("cfd2") && engine.pods().is_empty());
}

#[tokio::test]
async fn new_snapshots_come_into_force_and_a_refused_batch_is_tried_again() {
    let kernel = Arc::new(Memory::default());
    let (source, engine) = engine(&kernel, PolicySnapshot::blocked("a.yaml:3: bad"));
    engine.restore(vec![pod(2)]).await.unwrap();
    assert!(!kernel.bound("cfd2"), "with nothing loaded all pod traffic drops");
    assert!(matches!(engine.program(pod(3)).await, Err(PolicyError::Blocked(reason)) if reason.contains("a.yaml:3")));
    assert!(engine.not_ready().unwrap().contains("a.yaml:3"));
    kernel.refuse(true);
    source.0.send_replace(Arc::new(cluster()));
    until(|| engine.not_ready().is_some_and(|r| r.contains("refused"))).await;
    kernel.refuse(false);
    until(|| kernel.bound("cfd2")).await;
    assert_eq!(engine.not_ready(), None);
}

#[tokio::test]
async fn a_question_is_answered_by_name_and_address() {
    let kernel = Arc::new(Memory::default());
    let (_source, engine) = engine(&kernel, cluster());
    engine.restore(vec![pod(2), pod(3)]).await.unwrap();
    assert_eq!(engine.explain("shop/p2", "shop/p3", "TCP/80").await.unwrap().verdict, Verdict::Allow);
    for to in ["8.8.8.8", "192.168.0.10", "10.88.0.1", "10.88.0.9"] {
        assert_eq!(engine.explain("shop/p2", to, "TCP/80").await.unwrap().verdict, Verdict::Deny, "{to}");
    }
    // The node's own output is not filtered, from none of its addresses.
    for from in ["192.168.0.10", "10.88.0.1"] {
        assert_eq!(engine.explain(from, "shop/p2", "TCP/80").await.unwrap().verdict, Verdict::Allow, "{from}");
    }
    for (from, to, port) in
        [("p2", "shop/p3", "TCP/80"), ("shop/p2", "shop/p9", "TCP/80"), ("shop/p2", "shop/p3", "80")]
    {
        assert!(matches!(engine.explain(from, to, port).await, Err(PolicyError::Unknown(_))), "{from} {to} {port}");
    }
}

#[tokio::test]
async fn other_pod_cidrs_keep_the_pods_of_the_old_ones_bound() {
    let kernel = Arc::new(Memory::default());
    let (_source, engine) = engine(&kernel, cluster());
    engine.restore(vec![pod(2)]).await.unwrap();
    engine.update_pod_cidrs(vec!["10.99.0.0/24".parse().unwrap()]).await.unwrap();
    assert!(kernel.bound("cfd2"));
    let held = kernel.0.lock().unwrap().held.sets["podnet4"].elements.len();
    assert_eq!(held, 2, "the new CIDR, and the address that is held of the old one");
}

/// Two tenants, `acme` and `blue`, whose namespaces have their names, and their policies.
fn tenants(policies: &[(&str, &str)]) -> PolicySnapshot {
    let mut snapshot = cluster();
    for name in ["acme", "blue"] {
        snapshot.facts.tenants.insert(name.into(), Arc::default());
        snapshot.facts.namespaces.insert(name.into(), [(TENANT_LABEL.to_owned(), name.to_owned())].into());
    }
    let policy = |(i, (namespace, spec)): (usize, &(&str, &str))| NetworkPolicy {
        namespace: (*namespace).into(),
        name: format!("p{i}"),
        spec: serde_json::from_str(spec).unwrap(),
    };
    snapshot.policies = policies.iter().enumerate().map(policy).map(Arc::new).collect();
    snapshot
}

fn pod_of(tenant: &str, n: u8) -> LocalPod {
    LocalPod { namespace: tenant.into(), tenant: tenant.into(), ..pod(n) }
}

const FROM_BAD: &str = r#"{"ingress":[{"from":[{"ipBlock":{"cidr":"203.0.113.0/24"}}]}]}"#;

#[tokio::test]
async fn what_one_tenant_writes_fails_no_pod_of_another() {
    let kernel = Arc::new(Memory::default());
    kernel.0.lock().unwrap().poison = Some(Value::Ip4([203, 0, 113, 0].into()));
    let (source, engine) = engine(&kernel, tenants(&[]));
    engine.restore(vec![pod_of("acme", 2), pod_of("blue", 3)]).await.unwrap();
    source.0.send_replace(Arc::new(tenants(&[("blue", FROM_BAD), ("acme", r#"{"ingress":[]}"#)])));
    let told = || engine.degraded().iter().any(|d| d.contains("tenant blue") && d.contains("refused"));
    until(told).await;
    assert_eq!(engine.not_ready(), None, "the node serves the others");
    assert!(kernel.bound("cfd3"), "its pods keep the rules that they had");
    // acme's policy of the same moment is in force, and its pods start.
    assert_eq!(engine.explain("acme/p2", "acme/p2", "TCP/80").await.unwrap().verdict, Verdict::Allow);
    let closed = kernel.chains("i4_");
    engine.program(pod_of("acme", 4)).await.unwrap();
    assert!(kernel.bound("cfd4"));
    assert_eq!((closed, kernel.chains("i4_")), (3, 3), "two tenants and acme's policy");
    // A pod that would start without its tenant's policies does not start.
    assert!(matches!(engine.program(pod_of("blue", 5)).await, Err(PolicyError::Backend(_))));
    assert!(!kernel.bound("cfd5") && engine.pods().len() == 3);
    // What ends is unbound all the same.
    engine.unbind("s3").await.unwrap();
    assert!(!kernel.bound("cfd3"));
    kernel.0.lock().unwrap().poison = None;
    engine.program(pod_of("blue", 6)).await.unwrap();
    assert!(kernel.bound("cfd6") && !told());
}

#[tokio::test]
async fn pods_that_start_together_share_a_batch_and_fail_alone() {
    let kernel = Arc::new(Memory::default());
    let (_source, engine) = engine(&kernel, tenants(&[("blue", FROM_BAD)]));
    engine.restore(Vec::new()).await.unwrap();
    let before = kernel.batches();
    kernel.1.store(true, Relaxed);
    let engine = Arc::new(engine);
    let start = |pod: LocalPod| {
        let engine = engine.clone();
        tokio::spawn(async move { engine.program(pod).await })
    };
    let first = start(pod_of("acme", 2));
    tokio::task::yield_now().await;
    kernel.0.lock().unwrap().poison = Some(Value::Ip4([203, 0, 113, 0].into()));
    let rest: Vec<_> = (3..20).map(|n| start(pod_of("acme", n))).collect();
    let bad = start(pod_of("blue", 30));
    tokio::task::yield_now().await;
    kernel.1.store(false, Relaxed);
    assert!(matches!(bad.await.unwrap(), Err(PolicyError::Backend(_))));
    for started in rest.into_iter().chain([first]) {
        started.await.unwrap().unwrap();
    }
    assert!(kernel.bound("cfd19") && !kernel.bound("cfd30") && kernel.batches() > before);
    assert_eq!(engine.pods().len(), 18);
}

#[tokio::test]
async fn what_only_asks_never_waits_for_the_kernel() {
    let kernel = Arc::new(Memory::default());
    let (_source, engine) = engine(&kernel, cluster());
    engine.restore(vec![pod(2)]).await.unwrap();
    let engine = Arc::new(engine);
    kernel.1.store(true, Relaxed);
    let starting = {
        let engine = engine.clone();
        tokio::spawn(async move { engine.program(pod(3)).await })
    };
    // The batch is under way: it has nothing left to wait for but the kernel.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!((engine.pods().len(), engine.not_ready(), engine.degraded().len()), (1, None, 0));
    assert_eq!(engine.explain("shop/p2", "8.8.8.8", "TCP/80").await.unwrap().verdict, Verdict::Deny);
    assert!(!starting.is_finished() && !kernel.bound("cfd3"), "nobody starts without its rules");
    kernel.1.store(false, Relaxed);
    starting.await.unwrap().unwrap();
    assert!(kernel.bound("cfd3"));
}

#[tokio::test]
async fn a_policy_over_the_limit_is_told_in_status_and_allows_nothing() {
    let kernel = Arc::new(Memory::default());
    let block = r#"{"ipBlock":{"cidr":"10.88.0.0/24"}}"#;
    let large = format!(r#"{{"ingress":[{{"from":[{}]}}]}}"#, vec![block; 10_001].join(","));
    let (_source, engine) = engine(&kernel, tenants(&[("acme", &large)]));
    engine.restore(vec![pod_of("acme", 2), pod_of("acme", 3), pod_of("blue", 4)]).await.unwrap();
    assert!(
        engine.degraded().iter().any(|d| d.contains("NetworkPolicy acme/p0 allows nothing") && d.contains("10000"))
    );
    let explained = engine.explain("acme/p2", "acme/p3", "TCP/80").await.unwrap();
    assert!(explained.verdict == Verdict::Deny && explained.ingress.rule.contains("allows nothing"), "{explained:?}");
}

#[tokio::test]
async fn a_pod_whose_labels_are_unknown_is_not_bound_and_status_says_so() {
    let kernel = Arc::new(Memory::default());
    let (_source, engine) = engine(&kernel, cluster());
    engine.restore(vec![LocalPod { labels: None, ..pod(2) }, pod(3)]).await.unwrap();
    assert!(!kernel.bound("cfd2") && kernel.bound("cfd3"));
    assert!(engine.degraded().iter().any(|d| d.contains("shop/p2") && d.contains("labels are unknown")));
}
