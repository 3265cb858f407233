//! NetworkPolicy (networking.k8s.io/v1), strict: an unknown field is an error.

use cofferdam_tenant::Protocol;
use cofferdam_tenant_cluster::Labels;
use cofferdam_tenant_cluster::null::{items, labels, or_default};
use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

/// A NetworkPolicy.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NetworkPolicy {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its spec.
    pub spec: PolicySpec,
}

/// `spec`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct PolicySpec {
    /// The pods it is about; empty: all of the namespace.
    #[serde(deserialize_with = "or_default")]
    pub pod_selector: LabelSelector,
    /// Unset: Ingress, and Egress if there are egress rules (the API server fills this in, a file does not).
    #[serde(deserialize_with = "or_default")]
    pub policy_types: Vec<PolicyType>,
    /// Rules of what comes in.
    #[serde(deserialize_with = "items")]
    pub ingress: Vec<IngressRule>,
    /// Rules of what goes out.
    #[serde(deserialize_with = "items")]
    pub egress: Vec<EgressRule>,
}

/// The direction of traffic that a policy is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PolicyType {
    /// What comes in.
    Ingress,
    /// What goes out.
    Egress,
}

/// One rule of `ingress`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct IngressRule {
    /// Sources; empty: all.
    #[serde(deserialize_with = "items")]
    pub from: Vec<Peer>,
    /// Ports; empty: all, ICMP too.
    #[serde(deserialize_with = "items")]
    pub ports: Vec<PolicyPort>,
}

/// One rule of `egress`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct EgressRule {
    /// Destinations; empty: all.
    #[serde(deserialize_with = "items")]
    pub to: Vec<Peer>,
    /// Ports; empty: all, ICMP too.
    #[serde(deserialize_with = "items")]
    pub ports: Vec<PolicyPort>,
}

/// A peer: an ipBlock, or selectors that must all match. No selector differs from the empty one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Peer {
    /// Pods; alone: of the policy's namespace.
    pub pod_selector: Option<LabelSelector>,
    /// The namespaces whose pods are meant.
    pub namespace_selector: Option<LabelSelector>,
    /// A block of addresses.
    pub ip_block: Option<IpBlock>,
}

/// A block of addresses, less some blocks inside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct IpBlock {
    /// The network.
    pub cidr: IpNetwork,
    /// Blocks inside `cidr` that are not meant.
    #[serde(default, deserialize_with = "or_default")]
    pub except: Vec<IpNetwork>,
}

/// A port, a range of ports or a named port.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct PolicyPort {
    /// Unset: TCP.
    pub protocol: Option<Protocol>,
    /// Unset: all ports of the protocol.
    pub port: Option<IntOrName>,
    /// Last port of a range, included.
    pub end_port: Option<u16>,
}

/// A number or a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum IntOrName {
    /// A port.
    Number(u16),
    /// The name of a container's port.
    Name(String),
}

/// A label selector; the empty one matches everything.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct LabelSelector {
    /// Labels that must be there.
    #[serde(deserialize_with = "labels")]
    pub match_labels: Labels,
    /// Further conditions, all of which must hold.
    #[serde(deserialize_with = "or_default")]
    pub match_expressions: Vec<Requirement>,
}

/// One condition of a selector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Requirement {
    /// Key of the label.
    pub key: String,
    /// How it is compared.
    pub operator: Operator,
    /// What it is compared with; empty for `Exists` and `DoesNotExist`.
    #[serde(default, deserialize_with = "or_default")]
    pub values: Vec<String>,
}

/// Comparison of a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operator {
    /// One of the values.
    In,
    /// None of the values, or absent.
    NotIn,
    /// The label is there, with any value.
    Exists,
    /// The label is absent.
    DoesNotExist,
}

impl LabelSelector {
    /// Whether an object with these labels is selected.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.match_labels.iter().all(|(k, v)| labels.get(k) == Some(v))
            && self.match_expressions.iter().all(|r| r.matches(labels.get(&r.key)))
    }
}

impl Requirement {
    fn matches(&self, value: Option<&String>) -> bool {
        match self.operator {
            Operator::In => value.is_some_and(|v| self.values.contains(v)),
            Operator::NotIn => value.is_none_or(|v| !self.values.contains(v)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }
}

impl PolicySpec {
    /// Whether it isolates this direction.
    pub fn isolates(&self, direction: PolicyType) -> bool {
        match (self.policy_types.is_empty(), direction) {
            (true, PolicyType::Ingress) => true,
            (true, PolicyType::Egress) => !self.egress.is_empty(),
            (false, _) => self.policy_types.contains(&direction),
        }
    }

    /// Checks what the types cannot.
    ///
    /// # Errors
    /// Path of the field and what is wrong with it.
    pub fn check(&self) -> Result<(), String> {
        check_selector("spec.podSelector", &self.pod_selector)?;
        for (i, rule) in self.ingress.iter().enumerate() {
            check_rule(&format!("spec.ingress[{i}]"), "from", &rule.from, &rule.ports)?;
        }
        for (i, rule) in self.egress.iter().enumerate() {
            check_rule(&format!("spec.egress[{i}]"), "to", &rule.to, &rule.ports)?;
        }
        Ok(())
    }
}

fn check_rule(at: &str, side: &str, peers: &[Peer], ports: &[PolicyPort]) -> Result<(), String> {
    for (i, peer) in peers.iter().enumerate() {
        let at = format!("{at}.{side}[{i}]");
        let selects = peer.pod_selector.is_some() || peer.namespace_selector.is_some();
        match &peer.ip_block {
            Some(_) if selects => return Err(format!("{at}: ipBlock excludes selectors")),
            Some(block) if block.except.iter().any(|e| !inside(e, &block.cidr)) => {
                return Err(format!("{at}.ipBlock.except: is not inside {}", block.cidr));
            }
            None if !selects => return Err(format!("{at}: names no peer")),
            _ => {}
        }
        for selector in [&peer.pod_selector, &peer.namespace_selector].into_iter().flatten() {
            check_selector(&at, selector)?;
        }
    }
    for (i, port) in ports.iter().enumerate() {
        let at = format!("{at}.ports[{i}]");
        match (&port.port, port.end_port) {
            (Some(IntOrName::Number(0)), _) => return Err(format!("{at}.port: 0 is no port")),
            (Some(IntOrName::Number(first)), Some(last)) if last < *first => {
                return Err(format!("{at}.endPort: {last} is below port {first}"));
            }
            (Some(IntOrName::Name(name)), None) if !is_port_name(name) => {
                return Err(format!(
                    "{at}.port: {name:?} is no name of a port (and a number is written without quotes)"
                ));
            }
            (Some(IntOrName::Name(_)) | None, Some(_)) => return Err(format!("{at}.endPort: needs a port number")),
            _ => {}
        }
    }
    Ok(())
}

/// As the API server has it (IANA service names): a name that breaks this would silently match nothing.
fn is_port_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let dashes = name.starts_with('-') || name.ends_with('-') || name.contains("--");
    (1..=15).contains(&name.len())
        && name.chars().all(plain)
        && name.contains(|c: char| c.is_ascii_lowercase())
        && !dashes
}

fn inside(part: &IpNetwork, whole: &IpNetwork) -> bool {
    match (part, whole) {
        (IpNetwork::V4(_), IpNetwork::V4(_)) | (IpNetwork::V6(_), IpNetwork::V6(_)) => {
            part.prefix() > whole.prefix() && whole.contains(part.network())
        }
        _ => false,
    }
}

fn check_selector(at: &str, selector: &LabelSelector) -> Result<(), String> {
    for r in &selector.match_expressions {
        let needs = matches!(r.operator, Operator::In | Operator::NotIn);
        if needs == r.values.is_empty() {
            let what = if needs { "needs values" } else { "takes no values" };
            return Err(format!("{at}.matchExpressions[{}]: {:?} {what}", r.key, r.operator));
        }
    }
    Ok(())
}
