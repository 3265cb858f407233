//! Which tenant a namespace belongs to: the seam to the sources of Namespaces and Tenants.

use std::sync::Arc;

use async_trait::async_trait;

use crate::TenantSpec;

/// A tenant in force.
#[derive(Debug, Clone, PartialEq)]
pub struct Tenant {
    /// Its name.
    pub name: String,
    /// Its spec, checked.
    pub spec: TenantSpec,
}

/// Why a namespace has no tenant now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// Not seen yet, or the source is blocked: may work later.
    #[error("{0}")]
    Unavailable(String),
    /// Its label names no tenant that may be named, or it must have one and has none.
    #[error("{0}")]
    Precondition(String),
}

/// Resolves namespaces to tenants.
#[async_trait]
pub trait TenantRegistry: Send + Sync {
    /// The tenant of a namespace. Waits up to 5 s for a namespace that is not known yet.
    ///
    /// # Errors
    /// See [`ResolveError`].
    async fn resolve(&self, namespace: &str) -> Result<Arc<Tenant>, ResolveError>;

    /// All tenants in force, by name, `default` and `system` included.
    fn tenants(&self) -> Vec<Arc<Tenant>>;
}
