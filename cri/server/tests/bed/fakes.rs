//! The seams of the server, faked: they record what they did, hold what they gave out, and fail or wait where they are
//! told to.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use cofferdam_netpolicy::{ContainerPort, Explanation, LocalPod, PolicyEngine, PolicyError};
use cofferdam_sandbox::{
    Attachment, ContainerSpec, Lease, LinkEnd, NetworkAttachment, NetworkError, PodClient, PodLink, PodNetwork,
    ProcessIdentity, Recovered, Sandbox, SandboxError, SandboxFactory, SandboxKind, SandboxRecord, SandboxSpec,
};
use cofferdam_tenant::{HostAccess, ResolveError, Tenant, TenantRegistry, TenantSpec};
use ipnetwork::IpNetwork;
use tokio::sync::Semaphore;

use super::fake_pod::FakePod;

/// What the fakes share.
#[derive(Default)]
pub struct World {
    /// Steps that fail the next time.
    failing: Mutex<BTreeSet<&'static str>>,
    /// Steps that wait until they are let go.
    waiting: Mutex<BTreeMap<&'static str, Arc<Semaphore>>>,
    /// Steps done, in order.
    pub steps: Mutex<Vec<&'static str>>,
    /// Sandboxes whose lease is not given back.
    pub leases: Mutex<BTreeSet<String>>,
    /// Sandboxes whose rules are in force.
    pub programmed: Mutex<BTreeSet<String>>,
    /// Sandboxes that run.
    pub running: Mutex<BTreeMap<String, Arc<FakePod>>>,
    /// Containers that have a writable layer.
    pub rootfs: Mutex<BTreeSet<String>>,
    /// Containers that are staged.
    pub staged: Mutex<BTreeSet<String>>,
    /// When the first sandbox was killed.
    pub killed: Mutex<Option<tokio::time::Instant>>,
    /// What the last container that was to be staged mounts: sources by destination.
    pub sources: Mutex<BTreeMap<PathBuf, PathBuf>>,
    /// Limits that sandboxes were given.
    pub resized: Mutex<Vec<(Option<f64>, Option<u64>)>>,
    /// Host access of every tenant.
    pub host_access: Mutex<HostAccess>,
}

impl World {
    pub fn fail(&self, step: &'static str) {
        self.failing.lock().unwrap().insert(step);
    }

    /// The step waits from now on; a permit lets one go.
    pub fn hold(&self, step: &'static str) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        self.waiting.lock().unwrap().insert(step, gate.clone());
        gate
    }

    pub fn done(&self, step: &str) -> usize {
        self.steps.lock().unwrap().iter().filter(|s| **s == step).count()
    }

    fn now(&self, step: &'static str) -> Result<(), String> {
        self.steps.lock().unwrap().push(step);
        if self.failing.lock().unwrap().remove(step) { Err(format!("injected: {step}")) } else { Ok(()) }
    }

    pub async fn step(&self, step: &'static str) -> Result<(), String> {
        let result = self.now(step);
        let gate = self.waiting.lock().unwrap().get(step).cloned();
        if let Some(gate) = gate {
            gate.acquire().await.unwrap().forget();
        }
        result
    }

    async fn sandbox(&self, step: &'static str) -> Result<(), SandboxError> {
        self.step(step).await.map_err(|e| SandboxError::failed(step, e))
    }

    async fn network(&self, step: &'static str) -> Result<(), NetworkError> {
        self.step(step).await.map_err(|e| NetworkError::failed(step, e))
    }

    async fn policy(&self, step: &'static str) -> Result<(), PolicyError> {
        self.step(step).await.map_err(PolicyError::Blocked)
    }
}

pub struct Fake(pub Arc<World>);

#[async_trait]
impl SandboxFactory for Fake {
    fn kind(&self) -> SandboxKind {
        SandboxKind::Namespace
    }

    fn unavailable(&self) -> Option<String> {
        None
    }

    fn check(&self, _: &SandboxSpec) -> Result<(), SandboxError> {
        Ok(())
    }

    async fn bound_files(&self, dir: &Path, _: u64) -> Result<(), SandboxError> {
        std::fs::create_dir_all(dir).unwrap();
        Ok(())
    }

    async fn create(&self, spec: &SandboxSpec) -> Result<Arc<dyn Sandbox>, SandboxError> {
        self.0.sandbox("create").await?;
        let pod = Arc::new(FakePod::new());
        self.0.running.lock().unwrap().insert(spec.id.clone(), pod.clone());
        Ok(Arc::new(FakeSandbox { world: self.0.clone(), spec: spec.clone(), pod }))
    }

    async fn recover(&self, spec: &SandboxSpec, _: Option<&SandboxRecord>) -> Result<Recovered, SandboxError> {
        self.0.sandbox("recover").await?;
        let found = self.0.running.lock().unwrap().get(&spec.id).cloned();
        Ok(match found {
            Some(pod) => Recovered::Live(Arc::new(FakeSandbox { world: self.0.clone(), spec: spec.clone(), pod })),
            None => Recovered::Dead { reason: "its shim is gone".into(), exits: Vec::new() },
        })
    }

    async fn remove_leftovers(&self, spec: &SandboxSpec, _: Option<&SandboxRecord>) -> Result<(), SandboxError> {
        self.0.sandbox("remove_leftovers").await?;
        self.0.running.lock().unwrap().remove(&spec.id);
        Ok(())
    }
}

struct FakeSandbox {
    world: Arc<World>,
    spec: SandboxSpec,
    pod: Arc<FakePod>,
}

#[async_trait]
impl Sandbox for FakeSandbox {
    fn spec(&self) -> &SandboxSpec {
        &self.spec
    }

    fn record(&self) -> SandboxRecord {
        let shim = ProcessIdentity { pid: 1, start_time: 1, boot_id: "boot".into() };
        SandboxRecord { shim, vmm: None, virtiofsd: None, netns: None }
    }

    fn attachment(&self) -> Attachment {
        Attachment::Link(NetworkAttachment::Netns("/nowhere".into()))
    }

    async fn start(&self, _: Option<LinkEnd>) -> Result<(), SandboxError> {
        self.world.sandbox("start").await
    }

    fn check_container(&self, _: &ContainerSpec) -> Result<(), SandboxError> {
        self.world.now("check_container").map_err(|e| SandboxError::failed("check_container", e))
    }

    async fn stage(&self, spec: ContainerSpec) -> Result<ContainerSpec, SandboxError> {
        let source = |mount: &oci_spec::runtime::Mount| Some((mount.destination().clone(), mount.source().clone()?));
        *self.world.sources.lock().unwrap() = spec.oci.mounts().iter().flatten().filter_map(source).collect();
        self.world.sandbox("stage").await?;
        self.world.staged.lock().unwrap().insert(spec.id.clone());
        Ok(spec)
    }

    async fn release(&self, container: &str) -> Result<(), SandboxError> {
        self.world.staged.lock().unwrap().remove(container);
        Ok(())
    }

    fn pod(&self) -> Arc<dyn PodClient> {
        self.pod.clone()
    }

    async fn stop(&self) -> Result<Option<String>, SandboxError> {
        self.world.sandbox("stop").await?;
        // What it staged went with its mounts.
        self.world.staged.lock().unwrap().clear();
        self.world.running.lock().unwrap().remove(&self.spec.id);
        self.pod.die("stopped");
        Ok(self.pod.is_mute().then(|| "the guest was hung".into()))
    }

    fn kill(&self, reason: &str) {
        self.world.killed.lock().unwrap().get_or_insert_with(tokio::time::Instant::now);
        self.pod.die(reason);
    }

    async fn resize(&self, cpus: Option<f64>, memory: Option<u64>) -> Result<(), SandboxError> {
        self.world.resized.lock().unwrap().push((cpus, memory));
        self.world.sandbox("resize").await
    }
}

#[async_trait]
impl PodNetwork for Fake {
    fn not_ready(&self) -> Option<String> {
        None
    }

    fn pod_cidrs(&self) -> Vec<IpNetwork> {
        Vec::new()
    }

    async fn set_pod_cidrs(&self, _: Vec<IpNetwork>) -> Result<(), NetworkError> {
        Ok(())
    }

    fn allocate(&self, sandbox: &str) -> Result<Lease, NetworkError> {
        self.0.now("allocate").map_err(NetworkError::Exhausted)?;
        self.0.leases.lock().unwrap().insert(sandbox.into());
        let addresses = vec!["10.88.0.2".parse().unwrap()];
        let (mac, gateway_mac) = ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
        Ok(Lease { sandbox: sandbox.into(), addresses, interface: "cof0".into(), mac, gateway_mac })
    }

    async fn attach(&self, lease: &Lease, _: NetworkAttachment) -> Result<LinkEnd, NetworkError> {
        self.0.network("attach").await?;
        let (addresses, gateways) = (Vec::new(), Vec::new());
        let link = PodLink { name: "eth0".into(), lease: lease.clone(), addresses, gateways, mtu: 1500 };
        Ok(LinkEnd { link, tap: None })
    }

    async fn up(&self, lease: &Lease) -> Result<(), NetworkError> {
        assert!(self.0.programmed.lock().unwrap().contains(&lease.sandbox), "no packet before the pod's rules");
        self.0.network("up").await
    }

    async fn detach(&self, lease: &Lease) -> Result<(), NetworkError> {
        self.0.network("detach").await?;
        self.0.leases.lock().unwrap().remove(&lease.sandbox);
        Ok(())
    }

    async fn recover(&self, leases: &[Lease]) -> Result<(), NetworkError> {
        // A new daemon knows of no others, and removes every link that none of them owns.
        *self.0.leases.lock().unwrap() = leases.iter().map(|lease| lease.sandbox.clone()).collect();
        Ok(())
    }

    async fn counters(&self, _: &Lease) -> Result<(u64, u64, u64, u64), NetworkError> {
        Ok((0, 0, 0, 0))
    }
}

#[async_trait]
impl PolicyEngine for Fake {
    async fn program(&self, pod: LocalPod) -> Result<(), PolicyError> {
        self.0.policy("program").await?;
        self.0.programmed.lock().unwrap().insert(pod.sandbox_id);
        Ok(())
    }

    async fn set_ports(&self, _: &str, _: Vec<ContainerPort>) -> Result<(), PolicyError> {
        self.0.policy("set_ports").await
    }

    async fn unbind(&self, sandbox: &str) -> Result<(), PolicyError> {
        self.0.policy("unbind").await?;
        self.0.programmed.lock().unwrap().remove(sandbox);
        Ok(())
    }

    async fn restore(&self, pods: Vec<LocalPod>) -> Result<(), PolicyError> {
        *self.0.programmed.lock().unwrap() = pods.into_iter().map(|pod| pod.sandbox_id).collect();
        Ok(())
    }

    async fn update_pod_cidrs(&self, _: Vec<IpNetwork>) -> Result<(), PolicyError> {
        Ok(())
    }

    fn pods(&self) -> Vec<LocalPod> {
        Vec::new()
    }

    async fn explain(&self, _: &str, _: &str, _: &str) -> Result<Explanation, PolicyError> {
        Err(PolicyError::Stopped)
    }

    fn not_ready(&self) -> Option<String> {
        None
    }

    fn degraded(&self) -> Vec<String> {
        Vec::new()
    }
}

#[async_trait]
impl TenantRegistry for Fake {
    async fn resolve(&self, _: &str) -> Result<Arc<Tenant>, ResolveError> {
        let spec = TenantSpec { host_access: *self.0.host_access.lock().unwrap(), ..TenantSpec::default() };
        Ok(Arc::new(Tenant { name: "blue".into(), spec }))
    }

    fn tenants(&self) -> Vec<Arc<Tenant>> {
        Vec::new()
    }
}
