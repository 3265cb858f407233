//! Tenants.

use cofferdam_admin_api::v1::{Tenant, TenantsResponse};
use cofferdam_netpolicy::PolicySource as _;
use cofferdam_tenant::{HostAccess, Isolation, SYSTEM_TENANT, TenantRegistry as _};

use crate::daemon::Daemon;

pub fn tenants(daemon: &Daemon) -> TenantsResponse {
    let snapshot = daemon.policy.source.snapshots().borrow().clone();
    let facts = &snapshot.facts;
    let pods = daemon.runtime.pod_details();
    let one = |tenant: std::sync::Arc<cofferdam_tenant::Tenant>| {
        let mut namespaces: Vec<String> =
            facts.namespaces.keys().filter(|n| facts.tenant_of(n) == Some(&tenant.name)).cloned().collect();
        if tenant.name == SYSTEM_TENANT {
            namespaces.extend(facts.system_namespaces.iter().cloned());
            namespaces.sort();
            namespaces.dedup();
        }
        let spec = &tenant.spec;
        Tenant {
            namespaces,
            minimum: spec.sandbox.minimum.as_str().into(),
            default: spec.default_kind().as_str().into(),
            isolation: match spec.network.isolation {
                Isolation::Strict => "Strict".into(),
                Isolation::Open => "Open".into(),
            },
            host_access: match spec.host_access {
                HostAccess::Allowed => "Allowed".into(),
                HostAccess::Denied => "Denied".into(),
            },
            pods: u32::try_from(pods.iter().filter(|p| p["tenant"] == tenant.name.as_str()).count())
                .unwrap_or(u32::MAX),
            name: tenant.name.clone(),
        }
    };
    TenantsResponse { tenants: daemon.tenants.tenants().into_iter().map(one).collect() }
}
