//! The spec of a Tenant, as an admin writes it: strict, with defaults, checked.

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use crate::SandboxKind;
use crate::quantity::{parse_cpu, parse_memory};

/// `spec` of a Tenant (`cofferdam.dev/v1alpha1`), and of `[tenant.default]` and `[tenant.system]`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct TenantSpec {
    /// Isolation floor and default.
    pub sandbox: SandboxPolicy,
    /// Size of VMs whose pods have no limits.
    pub vm: VmSpec,
    /// Who may talk to whom.
    pub network: NetworkSpec,
    /// User namespaces of namespace sandboxes.
    pub user_namespace: UserNamespacePolicy,
    /// What of the node a pod may have.
    pub host_access: HostAccess,
    /// Not supported yet: refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota: Option<Anything>,
    /// Not supported yet: refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images: Option<Anything>,
}

/// The value of a field that is refused as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Anything;

impl<'de> Deserialize<'de> for Anything {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(from).map(|_| Anything)
    }
}

/// Isolation floor and default. The default is never below the floor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct SandboxPolicy {
    /// A pod below it is refused.
    pub minimum: SandboxKind,
    /// For pods that name no handler; unset: the floor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<SandboxKind>,
}

/// Size of a VM, as Kubernetes quantities.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct VmSpec {
    /// CPUs; rounded up to whole ones.
    pub cpu: String,
    /// Guest RAM.
    pub memory: String,
}

impl Default for VmSpec {
    fn default() -> Self {
        VmSpec { cpu: "1".into(), memory: "256Mi".into() }
    }
}

/// The network side of a tenant.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct NetworkSpec {
    /// What is allowed with nothing else said.
    pub isolation: Isolation,
    /// Tenants that may reach this one's pods.
    pub allow_from: Vec<AllowFrom>,
    /// What this tenant's pods may reach beyond their own tenant.
    pub allow_to: Vec<AllowTo>,
}

/// What a tenant's pods may reach with nothing else said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Isolation {
    /// Their own tenant.
    #[default]
    Strict,
    /// Outside, DNS and the API server as well.
    Open,
}

/// A tenant that may come in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct AllowFrom {
    /// Its name, or `*`.
    pub tenant: String,
    /// To which ports; empty: all.
    #[serde(default)]
    pub ports: Vec<PortSpec>,
}

/// A destination beyond the tenant. Exactly one of the first five is set.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct AllowTo {
    /// A tenant's name, or `*`; its own allowFrom must agree.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Addresses outside the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cidr: Option<IpNetwork>,
    /// A node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeTarget>,
    /// The cluster's DNS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns: Option<bool>,
    /// The API server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_server: Option<bool>,
    /// To which ports; empty: all.
    pub ports: Vec<PortSpec>,
}

/// Which nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeTarget {
    /// The pod's own.
    Own,
}

/// `AsRequested` or `Required`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum UserNamespacePolicy {
    /// As kubelet asks for.
    #[default]
    AsRequested,
    /// Always. Not supported yet: refused.
    Required,
}

/// hostNetwork, hostPID, hostIPC, hostPath, privileged, host devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum HostAccess {
    /// None of it.
    #[default]
    Denied,
    /// All of it.
    Allowed,
}

/// Transport protocols.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

/// A port, written `TCP/80`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PortSpec {
    /// Protocol.
    pub protocol: Protocol,
    /// Port, 1 to 65535.
    pub port: u16,
}

impl TryFrom<String> for PortSpec {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let bad = || format!("{text:?} is not of the form TCP/80");
        let (protocol, port) = text.split_once('/').ok_or_else(bad)?;
        let protocol = match protocol {
            "TCP" => Protocol::Tcp,
            "UDP" => Protocol::Udp,
            "SCTP" => Protocol::Sctp,
            _ => return Err(bad()),
        };
        let port = port.parse().ok().filter(|p| *p != 0).ok_or_else(bad)?;
        Ok(PortSpec { protocol, port })
    }
}

impl From<PortSpec> for String {
    fn from(port: PortSpec) -> String {
        port.to_string()
    }
}

impl std::fmt::Display for PortSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let protocol = match self.protocol {
            Protocol::Tcp => "TCP",
            Protocol::Udp => "UDP",
            Protocol::Sctp => "SCTP",
        };
        write!(f, "{protocol}/{}", self.port)
    }
}

/// A field of a spec that is wrong, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct SpecError {
    /// Path of the field.
    pub field: String,
    /// What is wrong.
    pub reason: String,
}

impl TenantSpec {
    /// Kind of pods that name no handler.
    pub fn default_kind(&self) -> SandboxKind {
        self.sandbox.default.unwrap_or(self.sandbox.minimum)
    }

    /// Checks what the types cannot.
    ///
    /// # Errors
    /// The first field that is wrong or not supported yet.
    pub fn check(&self) -> Result<(), SpecError> {
        let error = |field: &str, reason: &str| Err(SpecError { field: field.into(), reason: reason.into() });
        if self.quota.is_some() {
            return error("spec.quota", "not supported yet");
        }
        if self.images.is_some() {
            return error("spec.images", "not supported yet");
        }
        if self.user_namespace == UserNamespacePolicy::Required {
            return error("spec.userNamespace", "Required is not supported yet");
        }
        if self.default_kind() < self.sandbox.minimum {
            return error("spec.sandbox.default", "is below the minimum");
        }
        if parse_cpu(&self.vm.cpu).is_none_or(|milli| milli == 0) {
            return error("spec.vm.cpu", "is not a CPU quantity");
        }
        if parse_memory(&self.vm.memory).is_none_or(|bytes| bytes == 0) {
            return error("spec.vm.memory", "is not a memory quantity");
        }
        for (i, from) in self.network.allow_from.iter().enumerate() {
            if from.tenant.is_empty() {
                return error(&format!("spec.network.allowFrom[{i}].tenant"), "is empty");
            }
        }
        for (i, to) in self.network.allow_to.iter().enumerate() {
            to.check().or_else(|reason| error(&format!("spec.network.allowTo[{i}]"), reason))?;
        }
        Ok(())
    }
}

impl AllowTo {
    fn check(&self) -> Result<(), &'static str> {
        let targets = [
            self.tenant.is_some(),
            self.cidr.is_some(),
            self.node.is_some(),
            self.dns.is_some(),
            self.api_server.is_some(),
        ];
        match targets.iter().filter(|set| **set).count() {
            1 => {}
            0 => return Err("names no destination (tenant, cidr, node, dns or apiServer)"),
            _ => return Err("names more than one destination"),
        }
        if self.dns == Some(false) || self.api_server == Some(false) {
            return Err("dns and apiServer can only be true");
        }
        if self.tenant.as_deref() == Some("") {
            return Err("tenant is empty");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<TenantSpec, String> {
        let spec: TenantSpec = serde_json::from_str(json).map_err(|e| e.to_string())?;
        spec.check().map_err(|e| e.to_string())?;
        Ok(spec)
    }

    #[test]
    fn an_empty_spec_is_a_strict_namespace_tenant_without_host_access() {
        let spec = parse("{}").unwrap();
        assert_eq!(spec.default_kind(), SandboxKind::Namespace);
        assert_eq!((spec.network.isolation, spec.host_access), (Isolation::Strict, HostAccess::Denied));
        assert_eq!((spec.vm.cpu.as_str(), spec.vm.memory.as_str()), ("1", "256Mi"));
    }

    #[test]
    fn a_floor_of_vm_makes_vm_the_default() {
        assert_eq!(parse(r#"{"sandbox":{"minimum":"vm"}}"#).unwrap().default_kind(), SandboxKind::Vm);
    }

    #[test]
    fn a_default_below_the_floor_is_refused() {
        assert!(
            parse(r#"{"sandbox":{"minimum":"vm","default":"namespace"}}"#).unwrap_err().contains("below the minimum")
        );
    }

    #[test]
    fn what_comes_later_is_refused_by_name() {
        for (json, field) in [
            (r#"{"quota":{"pods":1}}"#, "quota"),
            (r#"{"images":{}}"#, "images"),
            (r#"{"userNamespace":"Required"}"#, "userNamespace"),
        ] {
            assert!(parse(json).unwrap_err().contains(field), "{json}");
        }
    }

    #[test]
    fn unknown_fields_and_bad_ports_are_refused() {
        assert!(parse(r#"{"sandbx":{}}"#).unwrap_err().contains("sandbx"));
        assert!(parse(r#"{"network":{"allowFrom":[{"tenant":"a","ports":["80"]}]}}"#).unwrap_err().contains("TCP/80"));
    }

    #[test]
    fn a_vm_has_a_size() {
        for vm in
            [r#"{"memory":"0"}"#, r#"{"memory":"0Mi"}"#, r#"{"cpu":"0m"}"#, r#"{"cpu":"0"}"#, r#"{"memory":"1Q"}"#]
        {
            assert!(parse(&format!(r#"{{"vm":{vm}}}"#)).unwrap_err().contains("spec.vm."), "{vm}");
        }
    }

    #[test]
    fn a_destination_is_exactly_one_thing() {
        assert!(
            parse(r#"{"network":{"allowTo":[{"dns":true},{"cidr":"0.0.0.0/0"},{"node":"own","ports":["TCP/443"]}]}}"#)
                .is_ok()
        );
        assert!(parse(r#"{"network":{"allowTo":[{"dns":true,"apiServer":true}]}}"#).is_err());
        assert!(parse(r#"{"network":{"allowTo":[{}]}}"#).is_err());
    }
}
