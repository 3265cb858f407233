//! The spec of a Tenant, as an admin writes it: strict, with defaults, checked.

use serde::{Deserialize, Serialize};

use crate::kind::SandboxKind;
use crate::network::NetworkSpec;
use crate::quantity::{parse_cpu, parse_memory};

/// `spec` of a Tenant (`cofferdam.dev/v1alpha1`), and of `[tenant.default]` and `[tenant.system]`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "crd", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
#[cfg_attr(feature = "crd", derive(kube::CustomResource))]
#[cfg_attr(
    feature = "crd",
    kube(
        group = "cofferdam.dev",
        version = "v1alpha1",
        kind = "Tenant",
        root = "TenantObject",
        doc = "Which sandbox a tenant's pods get, whom they may talk to, and what of the node they may have.",
        printcolumn = r#"{"name": "Minimum", "type": "string", "jsonPath": ".spec.sandbox.minimum"}"#,
        printcolumn = r#"{"name": "Default", "type": "string", "jsonPath": ".spec.sandbox.default"}"#,
        printcolumn = r#"{"name": "Isolation", "type": "string", "jsonPath": ".spec.network.isolation"}"#,
        printcolumn = r#"{"name": "Host access", "type": "string", "jsonPath": ".spec.hostAccess"}"#
    )
)]
pub struct TenantSpec {
    /// Isolation floor and default, `namespace` below `vm`.
    pub sandbox: SandboxPolicy,
    /// Size of a VM whose pod has no limits.
    pub vm: VmSpec,
    /// Whom the pods may talk to.
    pub network: NetworkSpec,
    /// User namespaces of namespace sandboxes.
    pub user_namespace: UserNamespacePolicy,
    /// hostNetwork, hostPID, hostIPC, hostPath, privileged and devices of the host.
    pub host_access: HostAccess,
    /// Not supported yet: refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "crd", schemars(skip))]
    pub quota: Option<Anything>,
    /// Not supported yet: refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "crd", schemars(skip))]
    pub images: Option<Anything>,
}

/// The whole object, as `kube` derives it from the spec.
#[cfg(feature = "crd")]
pub(crate) type TenantResource = TenantObject;

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
#[cfg_attr(feature = "crd", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
#[cfg_attr(feature = "crd", schemars(extend("x-kubernetes-validations" = [{
    "rule": "!has(self.minimum) || self.minimum != 'vm' || !has(self.default) || self.default == 'vm'",
    "message": "default is below the minimum"
}])))]
pub struct SandboxPolicy {
    /// A pod below it is refused. Unset is `namespace`.
    pub minimum: SandboxKind,
    /// For pods that name no handler. Unset is the minimum.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<SandboxKind>,
}

/// Size of a VM, as Kubernetes quantities.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "crd", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct VmSpec {
    /// CPUs; rounded up to whole ones.
    #[cfg_attr(feature = "crd", schemars(extend("pattern" = r"^([0-9]+m|[0-9]*\.?[0-9]+)$")))]
    pub cpu: String,
    /// Memory of the guest.
    #[cfg_attr(feature = "crd", schemars(extend("pattern" = r"^[0-9]*\.?[0-9]+(Ki|Mi|Gi|Ti|Pi|Ei|k|M|G|T|P|E)?$")))]
    pub memory: String,
}

impl Default for VmSpec {
    fn default() -> Self {
        VmSpec { cpu: "1".into(), memory: "256Mi".into() }
    }
}

/// Which pods get a user namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "crd", derive(schemars::JsonSchema))]
pub enum UserNamespacePolicy {
    /// As kubelet asks for.
    #[default]
    AsRequested,
    /// Always. Not supported yet: refused.
    #[cfg_attr(feature = "crd", schemars(skip))]
    Required,
}

/// Whether pods may have namespaces, paths and devices of the host, and be privileged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "crd", derive(schemars::JsonSchema))]
pub enum HostAccess {
    /// None of it.
    #[default]
    Denied,
    /// All of it.
    Allowed,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Isolation;

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
