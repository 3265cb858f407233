//! Tenants: the model and `admit`. Pure.
//!
//! A namespace belongs to a tenant by its own label [`TENANT_LABEL`]; nothing on a pod can change the tenant or weaken it.

mod admit;
mod host_access;
mod kind;
mod quantity;
mod registry;
mod spec;

pub use admit::{Admission, PodRequest, Refusal, UserNamespaceNeed, VmDefaults, admit};
pub use host_access::{ContainerRequest, MountRequest, SubPathCheck, admit_container};
pub use kind::SandboxKind;
pub use quantity::{parse_cpu, parse_memory};
pub use registry::{ResolveError, Tenant, TenantRegistry};
pub use spec::{
    AllowFrom, AllowTo, HostAccess, Isolation, NetworkSpec, NodeTarget, PortSpec, Protocol, SandboxPolicy, SpecError,
    TenantSpec, UserNamespacePolicy, VmSpec,
};

/// The label of a Namespace that names its tenant; cluster admins control it.
pub const TENANT_LABEL: &str = "cofferdam.dev/tenant";
/// Tenant of namespaces without a label.
pub const DEFAULT_TENANT: &str = "default";
/// Tenant of the configured system namespaces.
pub const SYSTEM_TENANT: &str = "system";
