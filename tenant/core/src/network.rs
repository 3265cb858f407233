//! The network side of a tenant.

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use crate::port::PortSpec;

/// Whom the pods of a tenant may talk to.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "crd", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct NetworkSpec {
    /// `Open` adds outside, DNS and the API server to what `Strict` allows, which is the own tenant.
    pub isolation: Isolation,
    /// Tenants that may reach this one's pods; their own allowTo has to agree.
    #[cfg_attr(feature = "crd", schemars(extend("maxItems" = 256)))]
    pub allow_from: Vec<AllowFrom>,
    /// What this tenant's pods may reach beyond their own tenant. Exactly one destination in each entry.
    #[cfg_attr(feature = "crd", schemars(extend("maxItems" = 256)))]
    pub allow_to: Vec<AllowTo>,
}

/// What a tenant's pods may reach with nothing else said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "crd", derive(schemars::JsonSchema))]
pub enum Isolation {
    /// Their own tenant.
    #[default]
    Strict,
    /// Outside, DNS and the API server as well.
    Open,
}

/// A tenant that may come in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "crd", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct AllowFrom {
    /// A tenant's name, or `*`.
    #[cfg_attr(feature = "crd", schemars(extend("minLength" = 1)))]
    pub tenant: String,
    /// Such as TCP/80. Empty is all.
    #[serde(default)]
    pub ports: Vec<PortSpec>,
}

/// A destination beyond the tenant. Exactly one of tenant, cidr, node, dns and apiServer is set.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "crd", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
#[cfg_attr(feature = "crd", schemars(extend("x-kubernetes-validations" = [{
    "rule": "[has(self.tenant), has(self.cidr), has(self.node), has(self.dns), has(self.apiServer)].filter(set, set).size() == 1",
    "message": "exactly one of tenant, cidr, node, dns and apiServer"
}])))]
pub struct AllowTo {
    /// A tenant's name, or `*`. Its allowFrom has to agree.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "crd", schemars(extend("minLength" = 1)))]
    pub tenant: Option<String>,
    /// Addresses outside the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "crd", schemars(with = "Option<String>", extend("minLength" = 1)))]
    pub cidr: Option<IpNetwork>,
    /// The pod's own node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeTarget>,
    /// The cluster's DNS.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "crd", schemars(extend("enum" = [true])))]
    pub dns: Option<bool>,
    /// The API server.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "crd", schemars(extend("enum" = [true])))]
    pub api_server: Option<bool>,
    /// Such as TCP/80. Empty is all.
    pub ports: Vec<PortSpec>,
}

/// Which nodes a destination means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "crd", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum NodeTarget {
    /// The pod's own.
    Own,
}

impl AllowTo {
    /// Checks that it names one destination.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
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
