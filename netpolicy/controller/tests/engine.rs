//! The controller over a kernel made of memory.
// A test that unwraps fails with the line it is about.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use cofferdam_netpolicy::backend::{BackendError, RuleBackend};
use cofferdam_netpolicy::diff::{Batch, Op};
use cofferdam_netpolicy::ir::{Interval, SeenChain, Snapshot};
use cofferdam_netpolicy::{
    LocalPod, NodeConfig, PolicyEngine as _, PolicyError, PolicySnapshot, PolicySource, Verdict,
};
use cofferdam_netpolicy_controller::Controller;
use cofferdam_tenant::DEFAULT_TENANT;
use cofferdam_tenant_cluster::ClusterFacts;
use tokio::sync::watch;

#[derive(Default)]
struct Kernel {
    held: Snapshot,
    batches: usize,
    reads: usize,
    refuse: bool,
}

#[derive(Default)]
struct Memory(Mutex<Kernel>);

impl RuleBackend for Memory {
    fn read(&self) -> Result<Snapshot, BackendError> {
        let mut kernel = self.0.lock().unwrap();
        kernel.reads += 1;
        Ok(kernel.held.clone())
    }

    fn apply(&self, batch: &Batch) -> Result<(), BackendError> {
        let mut kernel = self.0.lock().unwrap();
        if kernel.refuse {
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
        labels: Default::default(),
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
    assert!(engine.pods().is_empty() && engine.not_ready().unwrap().contains("refused"));
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
    assert_eq!(engine.explain("shop/p2", "shop/p3", "TCP/80").unwrap().verdict, Verdict::Allow);
    for to in ["8.8.8.8", "192.168.0.10", "10.88.0.1", "10.88.0.9"] {
        assert_eq!(engine.explain("shop/p2", to, "TCP/80").unwrap().verdict, Verdict::Deny, "{to}");
    }
    // The node's own output is not filtered, from none of its addresses.
    for from in ["192.168.0.10", "10.88.0.1"] {
        assert_eq!(engine.explain(from, "shop/p2", "TCP/80").unwrap().verdict, Verdict::Allow, "{from}");
    }
    for (from, to, port) in
        [("p2", "shop/p3", "TCP/80"), ("shop/p2", "shop/p9", "TCP/80"), ("shop/p2", "shop/p3", "80")]
    {
        assert!(matches!(engine.explain(from, to, port), Err(PolicyError::Unknown(_))), "{from} {to} {port}");
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
