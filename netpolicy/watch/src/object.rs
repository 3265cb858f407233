//! Objects of a YAML file, strict: whatever is not understood is an error with its line.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use cofferdam_netpolicy::policy::{Labels, NetworkPolicy, PolicySpec};
use cofferdam_netpolicy::{ClusterPod, ContainerPort};
use cofferdam_tenant::{DEFAULT_TENANT, SYSTEM_TENANT, TenantSpec};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

/// What is wrong, where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {reason}")]
pub struct FileError {
    /// The file as the user knows it.
    pub file: String,
    /// Line, from 1.
    pub line: u64,
    /// What is wrong.
    pub reason: String,
}

/// Kind, namespace (empty for cluster-scoped objects) and name.
pub type ObjectKey = (&'static str, String, String);

/// An object that the directory source takes.
#[derive(Debug, Clone, PartialEq)]
pub enum Object {
    /// A Namespace.
    Namespace(String, Labels),
    /// A Tenant.
    Tenant(String, Arc<TenantSpec>),
    /// A NetworkPolicy.
    Policy(Arc<NetworkPolicy>),
    /// A Pod that this node need not run.
    Pod(Box<ClusterPod>),
}

impl Object {
    /// What makes it unique.
    pub fn key(&self) -> ObjectKey {
        match self {
            Object::Namespace(name, _) => ("Namespace", String::new(), name.clone()),
            Object::Tenant(name, _) => ("Tenant", String::new(), name.clone()),
            Object::Policy(p) => ("NetworkPolicy", p.namespace.clone(), p.name.clone()),
            Object::Pod(p) => ("Pod", p.namespace.clone(), p.name.clone()),
        }
    }
}

/// An object with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Located {
    /// The object.
    pub object: Object,
    /// First line of its document.
    pub line: u64,
    /// Its document.
    pub text: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    api_version: String,
    kind: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Strict<T> {
    #[serde(rename = "apiVersion")]
    _api_version: IgnoredAny,
    #[serde(rename = "kind")]
    _kind: IgnoredAny,
    metadata: Metadata,
    #[serde(default = "Option::default")]
    spec: Option<T>,
    #[serde(rename = "status", default)]
    _status: Option<IgnoredAny>,
}

/// What the API server writes is known and passed over; what nobody writes is an error.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Metadata {
    name: String,
    #[serde(default)]
    namespace: Option<String>,
    #[serde(default)]
    labels: Option<Labels>,
    #[serde(default)]
    uid: String,
    #[serde(rename = "annotations", default)]
    _annotations: Option<BTreeMap<String, String>>,
    #[serde(rename = "creationTimestamp", default)]
    _created: Option<IgnoredAny>,
    #[serde(rename = "resourceVersion", default)]
    _version: Option<IgnoredAny>,
    #[serde(rename = "generation", default)]
    _generation: Option<IgnoredAny>,
    #[serde(rename = "managedFields", default)]
    _managed: Option<IgnoredAny>,
    #[serde(rename = "ownerReferences", default)]
    _owners: Option<IgnoredAny>,
    #[serde(rename = "finalizers", default)]
    _finalizers: Option<IgnoredAny>,
    #[serde(rename = "generateName", default)]
    _generate_name: Option<IgnoredAny>,
    #[serde(rename = "deletionTimestamp", default)]
    _deleted: Option<IgnoredAny>,
    #[serde(rename = "deletionGracePeriodSeconds", default)]
    _grace: Option<IgnoredAny>,
    #[serde(rename = "selfLink", default)]
    _self_link: Option<IgnoredAny>,
}

/// Of a Pod only what a peer is made of matters; the rest is kubelet's.
#[derive(Deserialize)]
struct PodFile {
    metadata: Metadata,
    #[serde(default)]
    spec: PodSpec,
    #[serde(default)]
    status: PodStatus,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct PodSpec {
    host_network: bool,
    containers: Vec<Container>,
    init_containers: Vec<Container>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Container {
    ports: Vec<ContainerPort>,
    restart_policy: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PodStatus {
    phase: String,
    #[serde(rename = "podIP")]
    pod_ip: Option<IpAddr>,
    #[serde(rename = "podIPs")]
    pod_ips: Vec<PodIp>,
}

#[derive(Deserialize)]
struct PodIp {
    ip: IpAddr,
}

/// All objects of a file.
///
/// # Errors
/// The first thing that is wrong.
pub fn parse(file: &str, text: &str) -> Result<Vec<Located>, FileError> {
    let mut found: Vec<Located> = Vec::new();
    for (line, document) in documents(text) {
        if document.lines().all(|l| l.trim().is_empty() || l.trim_start().starts_with('#')) {
            continue;
        }
        let at = Place { file, line, document };
        let object = object(&at)?;
        if let Some(twice) = found.iter().find(|o| o.object.key() == object.key()) {
            let (kind, _, name) = object.key();
            return Err(at.error(line, format!("{kind} {name} is already in line {}", twice.line)));
        }
        found.push(Located { object, line, text: document.to_owned() });
    }
    Ok(found)
}

/// Documents with their first lines. A line `---` begins one; inside a block scalar it would be indented.
pub fn documents(text: &str) -> Vec<(u64, &str)> {
    let mut found = Vec::new();
    let (mut start, mut first, mut offset) = (0, 1, 0);
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        let bare = line.trim_end();
        if bare == "---" || bare.starts_with("--- ") {
            found.push((first, &text[start..offset]));
            (start, first) = (offset + line.len(), number + 1);
        }
        offset += line.len();
    }
    found.push((first, &text[start..]));
    found
}

struct Place<'a> {
    file: &'a str,
    line: u64,
    document: &'a str,
}

impl Place<'_> {
    fn error(&self, line: u64, reason: String) -> FileError {
        FileError { file: self.file.to_owned(), line, reason }
    }

    fn read<T: DeserializeOwned>(&self) -> Result<T, FileError> {
        serde_saphyr::from_str(self.document).map_err(|e| {
            let line = e.location().map_or(self.line, |l| self.line + l.line().saturating_sub(1));
            let reason = e.without_snippet().to_string();
            self.error(line, reason)
        })
    }

    /// An error of a field; the line is that of its last part's key, if there is one.
    fn field(&self, path: &str, reason: &str) -> FileError {
        let last = path.rsplit('.').next().unwrap_or(path);
        let key = format!("{}:", last.split('[').next().unwrap_or(last));
        let line = self.document.lines().position(|l| l.contains(&key)).map_or(self.line, |n| self.line + n as u64);
        self.error(line, if path.is_empty() { reason.to_owned() } else { format!("{path}: {reason}") })
    }
}

fn object(at: &Place<'_>) -> Result<Object, FileError> {
    let envelope: Envelope = at.read()?;
    match (envelope.api_version.as_str(), envelope.kind.as_str()) {
        ("v1", "Namespace") => {
            let o: Strict<IgnoredAny> = at.read()?;
            unscoped(at, &o.metadata)?;
            Ok(Object::Namespace(o.metadata.name, o.metadata.labels.unwrap_or_default()))
        }
        ("v1", "Pod") => pod(at),
        ("networking.k8s.io/v1", "NetworkPolicy") => {
            let o: Strict<PolicySpec> = at.read()?;
            named(at, &o.metadata)?;
            let spec = o.spec.unwrap_or_default();
            spec.check().map_err(|reason| {
                let (path, reason) = reason.split_once(": ").unwrap_or(("", &reason));
                at.field(path, reason)
            })?;
            let namespace = o.metadata.namespace.unwrap_or_else(|| "default".into());
            Ok(Object::Policy(Arc::new(NetworkPolicy { namespace, name: o.metadata.name, spec })))
        }
        ("cofferdam.dev/v1alpha1", "Tenant") => {
            let o: Strict<TenantSpec> = at.read()?;
            unscoped(at, &o.metadata)?;
            if [DEFAULT_TENANT, SYSTEM_TENANT].contains(&o.metadata.name.as_str()) {
                return Err(at.field("metadata.name", "this tenant is written in the config, not as an object"));
            }
            let spec = o.spec.unwrap_or_default();
            spec.check().map_err(|e| at.field(&e.field, &e.reason))?;
            Ok(Object::Tenant(o.metadata.name, Arc::new(spec)))
        }
        (_, "ClusterNetworkPolicy") => Err(at.field("kind", "ClusterNetworkPolicy is not supported yet")),
        (version, kind) => Err(at.field("kind", &format!("{version} {kind} is not an object of this directory"))),
    }
}

/// Names are as the API server demands: a Tenant called `*` would be every tenant.
fn named(at: &Place<'_>, metadata: &Metadata) -> Result<(), FileError> {
    let word = |part: &str| {
        let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
            && ends(part.chars().next())
            && ends(part.chars().last())
    };
    let valid = |name: &str| name.len() <= 253 && name.split('.').all(word);
    if !valid(&metadata.name) {
        return Err(at.field("metadata.name", &format!("{:?} is not a DNS name", metadata.name)));
    }
    match &metadata.namespace {
        Some(namespace) if !valid(namespace) => {
            Err(at.field("metadata.namespace", &format!("{namespace:?} is not a DNS name")))
        }
        _ => Ok(()),
    }
}

fn unscoped(at: &Place<'_>, metadata: &Metadata) -> Result<(), FileError> {
    named(at, metadata)?;
    match metadata.namespace {
        Some(_) => Err(at.field("metadata.namespace", "the object belongs to no namespace")),
        None => Ok(()),
    }
}

fn pod(at: &Place<'_>) -> Result<Object, FileError> {
    let o: PodFile = at.read()?;
    named(at, &o.metadata)?;
    // An init container that is always restarted is a sidecar: its ports are served as long as the pod runs.
    let sidecars = o.spec.init_containers.into_iter().filter(|c| c.restart_policy == "Always");
    let mut addresses: Vec<IpAddr> = o.status.pod_ips.iter().map(|p| p.ip).collect();
    addresses.extend(o.status.pod_ip.filter(|ip| !addresses.contains(ip)));
    Ok(Object::Pod(Box::new(ClusterPod {
        namespace: o.metadata.namespace.unwrap_or_else(|| "default".into()),
        name: o.metadata.name,
        uid: o.metadata.uid,
        labels: o.metadata.labels.unwrap_or_default(),
        addresses,
        ports: o.spec.containers.into_iter().chain(sidecars).flat_map(|c| c.ports).collect(),
        host_network: o.spec.host_network,
        finished: matches!(o.status.phase.as_str(), "Succeeded" | "Failed"),
    })))
}
