//! Whether a tenant may have this pod, and in which sandbox.

use crate::quantity::{parse_cpu, parse_memory};
use crate::{HostAccess, SandboxKind, Tenant};

/// What admission looks at in a pod.
#[derive(Debug, Clone, Copy, Default)]
pub struct PodRequest<'a> {
    /// Runtime handler: `""`, `namespace` or `vm`.
    pub handler: &'a str,
    /// Whether it wants the node's network.
    pub host_network: bool,
    /// Whether it wants the node's PID namespace.
    pub host_pid: bool,
    /// Whether it wants the node's IPC namespace.
    pub host_ipc: bool,
    /// Whether it wants a privileged sandbox.
    pub privileged: bool,
}

/// The sandbox that a pod gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// Its kind.
    pub kind: SandboxKind,
    /// Size of its VM when its limits do not say.
    pub vm: VmDefaults,
}

/// The tenant's size of a VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VmDefaults {
    /// Whole CPUs, at least 1.
    pub cpus: u32,
    /// Guest RAM in bytes.
    pub memory: u64,
}

/// Why a tenant may not have a pod or container.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Below the isolation floor.
    #[error("tenant {tenant:?} demands {minimum} sandboxes, the pod asks for {asked}")]
    Floor {
        /// The tenant's name.
        tenant: String,
        /// Its floor.
        minimum: SandboxKind,
        /// What was asked for.
        asked: SandboxKind,
    },
    /// There is no such runtime handler.
    #[error("runtime handler {0:?} is unknown (known: \"\", \"namespace\", \"vm\")")]
    UnknownHandler(String),
    /// Host access is denied; names what was asked.
    #[error("tenant {tenant:?} has no host access: {what}")]
    HostAccess {
        /// The tenant's name.
        tenant: String,
        /// The field and its value.
        what: String,
    },
    /// Host access is denied, and this capability reaches the node from its own user namespace.
    #[error(
        "tenant {tenant:?} has no host access: {capability} in a namespace sandbox needs a user namespace of the pod's \
         own; set hostUsers: false, or use the handler \"vm\""
    )]
    Capability {
        /// The tenant's name.
        tenant: String,
        /// Its full name.
        capability: String,
    },
}

/// Decides whether a tenant may have a pod, and in which sandbox. The floor holds whatever handler the pod names.
///
/// # Errors
/// See [`Refusal`].
pub fn admit(tenant: &Tenant, pod: &PodRequest<'_>) -> Result<Admission, Refusal> {
    let spec = &tenant.spec;
    let kind = match pod.handler {
        "" => spec.default_kind(),
        "namespace" => SandboxKind::Namespace,
        "vm" => SandboxKind::Vm,
        other => return Err(Refusal::UnknownHandler(other.to_owned())),
    };
    if kind < spec.sandbox.minimum {
        return Err(Refusal::Floor { tenant: tenant.name.clone(), minimum: spec.sandbox.minimum, asked: kind });
    }
    if spec.host_access == HostAccess::Denied {
        let asked = [
            (pod.host_network, "hostNetwork"),
            (pod.host_pid, "hostPID"),
            (pod.host_ipc, "hostIPC"),
            (pod.privileged, "privileged"),
        ];
        if let Some((_, what)) = asked.iter().find(|(asked, _)| *asked) {
            return Err(Refusal::HostAccess { tenant: tenant.name.clone(), what: (*what).to_owned() });
        }
    }
    Ok(Admission { kind, vm: vm_defaults(tenant) })
}

/// A checked spec has quantities that parse; the fallbacks are the documented defaults.
fn vm_defaults(tenant: &Tenant) -> VmDefaults {
    let milli = parse_cpu(&tenant.spec.vm.cpu).unwrap_or(1000);
    VmDefaults {
        cpus: u32::try_from(milli.div_ceil(1000)).unwrap_or(u32::MAX).max(1),
        memory: parse_memory(&tenant.spec.vm.memory).unwrap_or(256 << 20),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SandboxPolicy, TenantSpec};

    fn tenant(minimum: SandboxKind) -> Tenant {
        let spec = TenantSpec { sandbox: SandboxPolicy { minimum, default: None }, ..Default::default() };
        Tenant { name: "acme".into(), spec }
    }

    #[test]
    fn a_pod_without_handler_gets_the_tenants_default() {
        assert_eq!(admit(&tenant(SandboxKind::Vm), &PodRequest::default()).unwrap().kind, SandboxKind::Vm);
    }

    #[test]
    fn no_handler_lowers_the_floor() {
        let refused = admit(&tenant(SandboxKind::Vm), &PodRequest { handler: "namespace", ..Default::default() });
        assert!(matches!(refused, Err(Refusal::Floor { .. })));
    }

    #[test]
    fn a_pod_may_ask_for_more_than_the_floor() {
        let pod = PodRequest { handler: "vm", ..Default::default() };
        assert_eq!(admit(&tenant(SandboxKind::Namespace), &pod).unwrap().kind, SandboxKind::Vm);
    }

    #[test]
    fn an_unknown_handler_is_refused_by_name() {
        let refused = admit(&tenant(SandboxKind::Namespace), &PodRequest { handler: "gvisor", ..Default::default() });
        assert_eq!(refused, Err(Refusal::UnknownHandler("gvisor".into())));
    }

    #[test]
    fn host_namespaces_need_host_access() {
        let pod = PodRequest { host_network: true, ..Default::default() };
        assert!(matches!(admit(&tenant(SandboxKind::Namespace), &pod), Err(Refusal::HostAccess { .. })));
        let mut allowed = tenant(SandboxKind::Namespace);
        allowed.spec.host_access = HostAccess::Allowed;
        assert!(admit(&allowed, &pod).is_ok());
    }
}
