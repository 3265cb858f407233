//! A directory as a snapshot; each file's last good version is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cofferdam_netpolicy::ClusterSnapshot;
use cofferdam_tenant::{DEFAULT_TENANT, SYSTEM_TENANT, TenantSpec};
use ipnetwork::IpNetwork;

use crate::object::{FileError, Located, Object, ObjectKey, parse};

/// What the configuration says beside the objects.
#[derive(Debug, Clone, Default)]
pub struct SourceConfig {
    /// `[tenant.default]`.
    pub default_tenant: TenantSpec,
    /// `[tenant.system]`.
    pub system_tenant: TenantSpec,
    /// `[tenant] system_namespaces`.
    pub system_namespaces: BTreeSet<String>,
    /// `[tenant] unlabelled = "refuse"`.
    pub refuse_unlabelled: bool,
    /// `[cluster] api_server`.
    pub api_servers: Vec<SocketAddr>,
    /// `[cluster] service_cidrs`.
    pub service_cidrs: Vec<IpNetwork>,
    /// `[cluster] node_cidrs`.
    pub node_cidrs: Vec<IpNetwork>,
}

impl SourceConfig {
    /// A snapshot without objects.
    pub fn base(&self) -> ClusterSnapshot {
        let tenants = [(DEFAULT_TENANT, &self.default_tenant), (SYSTEM_TENANT, &self.system_tenant)];
        ClusterSnapshot {
            tenants: tenants.map(|(name, spec)| (name.to_owned(), Arc::new(spec.clone()))).into(),
            system_namespaces: self.system_namespaces.clone(),
            refuse_unlabelled: self.refuse_unlabelled,
            api_servers: self.api_servers.clone(),
            service_cidrs: self.service_cidrs.clone(),
            node_cidrs: self.node_cidrs.clone(),
            ..Default::default()
        }
    }
}

struct File {
    text: String,
    good: Option<Vec<Located>>,
    error: Option<FileError>,
}

/// Reads the directory again and again; a file that did not change is not parsed again.
pub struct Loader {
    directory: PathBuf,
    config: SourceConfig,
    files: BTreeMap<String, File>,
    /// A snapshot without errors was there once.
    ever_good: bool,
}

impl Loader {
    /// Nothing is read yet.
    pub fn new(directory: impl Into<PathBuf>, config: SourceConfig) -> Self {
        Loader { directory: directory.into(), config, files: BTreeMap::new(), ever_good: false }
    }

    /// Another configuration from the next load on.
    pub fn set_config(&mut self, config: SourceConfig) {
        self.config = config;
    }

    /// The directory as it is now.
    pub fn load(&mut self) -> ClusterSnapshot {
        let mut snapshot = self.config.base();
        snapshot.complete = true;
        let mut errors = Vec::new();
        match list(&self.directory) {
            Ok(Listing { yaml, ignored }) => {
                self.read(&yaml);
                snapshot.ignored_files = ignored;
            }
            Err(error) => {
                let file = self.directory.display().to_string();
                errors.push(FileError { file, line: 0, reason: error.to_string() });
            }
        }
        errors.extend(self.files.values().filter_map(|f| f.error.clone()));
        errors.extend(self.merge(&mut snapshot));
        match errors.first() {
            None => self.ever_good = true,
            Some(first) if !self.ever_good => snapshot.blocked = Some(first.to_string()),
            Some(_) => {}
        }
        // With nothing good so far the whole is blocked, and says so itself.
        let instead = if self.ever_good { " (what was good before is in force)" } else { "" };
        snapshot.warnings = errors.iter().map(|e| format!("{e}{instead}")).collect();
        snapshot
    }

    fn read(&mut self, names: &BTreeSet<String>) {
        self.files.retain(|name, _| names.contains(name));
        for name in names {
            let path = self.directory.join(name);
            let shown = path.display().to_string();
            let text = match std::fs::read_to_string(&path) {
                Ok(text) => text,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.files.remove(name);
                    continue;
                }
                Err(error) => {
                    let file = self.files.entry(name.clone()).or_insert_with(File::empty);
                    file.text.clear();
                    file.error = Some(FileError { file: shown, line: 0, reason: error.to_string() });
                    continue;
                }
            };
            let known =
                self.files.get(name).is_some_and(|f| f.text == text && !(f.good.is_none() && f.error.is_none()));
            if known {
                continue;
            }
            let file = self.files.entry(name.clone()).or_insert_with(File::empty);
            match parse(&shown, &text) {
                Ok(objects) => (file.good, file.error) = (Some(objects), None),
                Err(error) => file.error = Some(error),
            }
            file.text = text;
        }
    }

    /// Adds all objects; one that is in two files counts as the first file has it.
    fn merge(&self, snapshot: &mut ClusterSnapshot) -> Vec<FileError> {
        let mut errors = Vec::new();
        let mut seen: BTreeMap<ObjectKey, &str> = BTreeMap::new();
        for (name, file) in &self.files {
            for located in file.good.iter().flatten() {
                let key = located.object.key();
                if let Some(first) = seen.get(&key) {
                    let reason = format!("{} {} is already in {first}", key.0, key.2);
                    let file = self.directory.join(name).display().to_string();
                    errors.push(FileError { file, line: located.line, reason });
                    continue;
                }
                seen.insert(key, name);
                match &located.object {
                    Object::Namespace(name, labels) => {
                        _ = snapshot.namespaces.insert(name.clone(), with_name(name, labels))
                    }
                    Object::Tenant(name, spec) => _ = snapshot.tenants.insert(name.clone(), spec.clone()),
                    Object::Policy(policy) => snapshot.policies.push(policy.clone()),
                    Object::Pod(pod) => snapshot.pods.push((**pod).clone()),
                }
            }
        }
        errors
    }
}

impl File {
    fn empty() -> Self {
        File { text: String::new(), good: None, error: None }
    }
}

/// The API server sets this label; a file need not.
fn with_name(name: &str, labels: &cofferdam_netpolicy::policy::Labels) -> cofferdam_netpolicy::policy::Labels {
    let mut labels = labels.clone();
    labels.insert("kubernetes.io/metadata.name".into(), name.to_owned());
    labels
}

struct Listing {
    yaml: BTreeSet<String>,
    ignored: Vec<String>,
}

fn list(directory: &Path) -> io::Result<Listing> {
    let mut listing = Listing { yaml: BTreeSet::new(), ignored: Vec::new() };
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(listing),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        match name.ends_with(".yaml") && !name.starts_with('.') {
            true => _ = listing.yaml.insert(name),
            false => listing.ignored.push(name),
        }
    }
    listing.ignored.sort();
    Ok(listing)
}
