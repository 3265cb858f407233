//! Tenants: the model and `admit`. Pure.
//!
//! A namespace belongs to a tenant by its own label [`TENANT_LABEL`]; nothing on a pod can change the tenant or weaken
//! it.
//!
//! The feature `crd` makes the CustomResourceDefinition from the types; what runs on a node does not need it.

mod admit;
mod capabilities;
#[cfg(feature = "crd")]
mod crd;
mod host_access;
mod kind;
mod network;
mod port;
mod quantity;
mod registry;
mod spec;
mod user_namespace;

pub use admit::{Admission, PodRequest, Refusal, VmDefaults, admit};
pub use capabilities::reaches_the_node;
#[cfg(feature = "crd")]
pub use crd::tenant_crd;
pub use host_access::{ContainerRequest, MountRequest, admit_container};
pub use kind::SandboxKind;
pub use network::{AllowFrom, AllowTo, Isolation, NetworkSpec, NodeTarget};
pub use port::{PortSpec, Protocol};
pub use quantity::{parse_cpu, parse_memory};
pub use registry::{ResolveError, Tenant, TenantRegistry};
pub use spec::{HostAccess, SandboxPolicy, SpecError, TenantSpec, UserNamespacePolicy, VmSpec};
pub use user_namespace::{FIRST_POD_ID, HostIds, admit_user_namespace};

/// The label of a Namespace that names its tenant; cluster admins control it.
pub const TENANT_LABEL: &str = "cofferdam.dev/tenant";
/// Tenant of namespaces without a label.
pub const DEFAULT_TENANT: &str = "default";
/// Tenant of the configured system namespaces.
pub const SYSTEM_TENANT: &str = "system";
