//! The daemon as a whole: the parts that `serve` builds and that the services are given.

use std::sync::Arc;
use std::time::SystemTime;

use cofferdam_cri_server::Runtime;
use cofferdam_image::ImageService;
use cofferdam_netpolicy::PolicySnapshot;
use cofferdam_netpolicy_controller::Controller;
use cofferdam_netpolicy_nft::{NftBackend, Watch};
use cofferdam_netpolicy_watch::DirectorySource;
use cofferdam_network::BuiltinNetwork;
use cofferdam_tenant_registry::SnapshotRegistry;
use cofferdam_vm::VmFactory;

use crate::config::Config;

/// Everything that runs.
pub struct Daemon {
    /// The configuration that it was started with; a reload changes the log, the source and the tenants themselves.
    pub config: Config,
    /// What the CRI services stand on.
    pub runtime: Arc<Runtime>,
    /// Who may talk to whom.
    pub policy: Policy,
    /// Which tenant a namespace belongs to.
    pub tenants: Arc<SnapshotRegistry<PolicySnapshot>>,
    /// Images and writable layers.
    pub images: Arc<ImageService>,
    /// VM sandboxes.
    pub vms: Arc<VmFactory>,
    /// When it was started.
    pub started: SystemTime,
    /// Networks of the pods.
    pub network: Arc<BuiltinNetwork>,
}

/// The parts of policy.
pub struct Policy {
    /// Cluster objects.
    pub source: DirectorySource,
    /// The kernel's table.
    pub backend: Arc<NftBackend>,
    /// The engine.
    pub controller: Arc<Controller>,
    /// Hears of changes of the table by others.
    pub _watch: Watch,
}
