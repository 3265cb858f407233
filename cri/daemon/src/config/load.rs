//! Reading the configuration: one file, then its drop-ins by name; tables are merged, everything else is replaced.

use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::file::Tenants;
use super::{Config, NetworkMode};

/// The largest id of a user or group.
const LARGEST_ID: u32 = i32::MAX as u32;

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("{path}: {reason}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        reason: std::io::Error,
    },
    /// A file is no TOML, or has an unknown key or a wrong value; says where.
    #[error("{path}: {reason}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line and cause.
        reason: String,
    },
    /// A value cannot be used.
    #[error("{key}: {reason}")]
    Value {
        /// The key.
        key: String,
        /// What is wrong.
        reason: String,
    },
}

/// `/etc/cofferdam/config.toml`.
pub fn default_path() -> PathBuf {
    PathBuf::from("/etc/cofferdam/config.toml")
}

/// Reads a configuration. `None`: the default path, where an absent file is an empty one; a file that was asked for
/// must exist.
///
/// # Errors
/// See [`ConfigError`].
pub fn load(path: Option<&Path>) -> Result<Config, ConfigError> {
    let asked = path.is_some();
    let path = path.map_or_else(default_path, Path::to_owned);
    let mut merged = Table::new();
    for file in std::iter::once(path.clone()).chain(drop_ins(&path)?) {
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && !asked && file == path => String::new(),
            Err(reason) => return Err(ConfigError::Read { path: file, reason }),
        };
        let parse = |e: toml::de::Error| ConfigError::Parse { path: file.clone(), reason: e.to_string() };
        // Alone first: an error then names the right file and line.
        toml::from_str::<Config>(&text).map_err(parse)?;
        merge(&mut merged, text.parse::<Table>().map_err(parse)?);
    }
    keep_shipped(&mut merged)?;
    let config: Config =
        merged.try_into().map_err(|e: toml::de::Error| ConfigError::Parse { path, reason: e.to_string() })?;
    check(&config)?;
    Ok(config)
}

fn drop_ins(path: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let mut dir = path.as_os_str().to_owned();
    dir.push(".d");
    let dir = PathBuf::from(dir);
    let entries = match std::fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(reason) => return Err(ConfigError::Read { path: dir, reason }),
    };
    let mut files: Vec<PathBuf> =
        entries.flatten().map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "toml")).collect();
    files.sort();
    Ok(files)
}

fn merge(into: &mut Table, from: Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Table(old)), Value::Table(new)) => merge(old, new),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

/// A tenant of the configuration is as shipped in what it does not say. Its fields are those of a Tenant's spec, each a
/// whole: `network` without `isolation` is Strict, as in an object.
fn keep_shipped(merged: &mut Table) -> Result<(), ConfigError> {
    let Some(Value::Table(tenants)) = merged.get_mut("tenant") else { return Ok(()) };
    let shipped = Tenants::default();
    for (name, spec) in [("default", shipped.default), ("system", shipped.system)] {
        let Some(Value::Table(asked)) = tenants.get_mut(name) else { continue };
        let wrong = |e: toml::ser::Error| ConfigError::Value { key: format!("tenant.{name}"), reason: e.to_string() };
        for (key, value) in Table::try_from(spec).map_err(wrong)? {
            asked.entry(key).or_insert(value);
        }
    }
    Ok(())
}

fn check(config: &Config) -> Result<(), ConfigError> {
    let wrong = |key: &str, reason: &str| Err(ConfigError::Value { key: key.into(), reason: reason.into() });
    for (name, spec) in [("tenant.default", &config.tenant.default), ("tenant.system", &config.tenant.system)] {
        spec.check().map_err(|e| ConfigError::Value { key: format!("{name}.{}", e.field), reason: e.reason })?;
    }
    for (key, path) in [("socket", &config.socket), ("root", &config.root), ("state", &config.state)] {
        if !path.is_absolute() {
            return wrong(key, "is not an absolute path");
        }
    }
    if config.network.mode == NetworkMode::Cni {
        return wrong("network.mode", "\"cni\" is not supported yet");
    }
    let prefix = &config.network.interface_prefix;
    if prefix.is_empty() || prefix.len() > 4 || !prefix.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return wrong("network.interface_prefix", "is not 1 to 4 letters or digits");
    }
    if config.network.pod_cidrs.is_empty() {
        return wrong("network.pod_cidrs", "is empty");
    }
    if let Some(prefix) = config.network.nat64_prefixes.iter().find(|p| !cofferdam_netpolicy::is_nat64_prefix(p)) {
        return wrong("network.nat64_prefixes", &format!("{prefix} is not /32, /40, /48, /56, /64 or /96 (RFC 6052)"));
    }
    if !config.cgroup.root.starts_with('/') || config.cgroup.root.len() < 2 || config.cgroup.root.contains("..") {
        return wrong("cgroup.root", "is not an absolute path below the root");
    }
    if !config.streaming.address.ip().is_loopback() {
        return wrong("streaming.address", "is not a loopback address: kubelet is the only client");
    }
    if config.vm.boot_timeout == 0 {
        return wrong("vm.boot_timeout", "is 0: no VM boots so fast");
    }
    if config.vm.first_uid < 65536 {
        return wrong("vm.first_uid", "is below 65536, where users of the node may be");
    }
    if config.vm.first_uid > LARGEST_ID - (cofferdam_vm::UIDS - 1) {
        return wrong("vm.first_uid", "leaves no room for the VMs' ids below 2^31");
    }
    let fits = |first: u32, size: u32| size >= 65536 && u64::from(first) + u64::from(size) <= u64::from(LARGEST_ID) + 1;
    if let Some([first, size]) = config.tenant.user_namespace_range
        && (first < cofferdam_tenant::FIRST_POD_ID || !fits(first, size))
    {
        return wrong("tenant.user_namespace_range", "must lie within 65536 and 2^31, and hold at least 65536 ids");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(files: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("config.toml.d")).unwrap();
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        load(Some(&dir.path().join("config.toml")))
    }

    #[test]
    fn the_default_configuration_reads_back_as_itself() {
        let text = toml::to_string(&Config::default()).unwrap();
        assert_eq!(with(&[("config.toml", &text)]).unwrap(), Config::default());
    }

    #[test]
    fn drop_ins_are_merged_in_order_of_their_names() {
        let config = with(&[
            ("config.toml", "[vm]\naccel = \"kvm\"\nimage_dir = \"/a\"\n"),
            ("config.toml.d/20.toml", "[vm]\nimage_dir = \"/c\"\n"),
            ("config.toml.d/10.toml", "[vm]\nimage_dir = \"/b\"\n"),
        ])
        .unwrap();
        assert_eq!((config.vm.image_dir.to_str(), config.vm.accel), (Some("/c"), super::super::VmAccel::Kvm));
    }

    #[test]
    fn an_unknown_key_is_an_error_that_names_key_and_file() {
        let error =
            with(&[("config.toml", ""), ("config.toml.d/x.toml", "[vm]\nacel = \"kvm\"\n")]).unwrap_err().to_string();
        assert!(error.contains("acel") && error.contains("x.toml") && error.contains("line 2"), "{error}");
    }

    #[test]
    fn values_that_cannot_be_used_are_refused_by_key() {
        for (text, key) in [
            ("[network]\nmode = \"cni\"", "network.mode"),
            ("root = \"var\"", "root"),
            ("[streaming]\naddress = \"0.0.0.0:0\"", "streaming.address"),
            ("[tenant.default]\nquota = {pods = 1}", "tenant.default.spec.quota"),
        ] {
            let error = with(&[("config.toml", text)]).unwrap_err().to_string();
            assert!(error.contains(key), "{text}: {error}");
        }
    }

    #[test]
    fn a_tenant_of_the_configuration_is_as_shipped_in_what_it_does_not_say() {
        let config = with(&[
            ("config.toml", "[tenant.default]\nhostAccess = \"Allowed\"\n"),
            ("config.toml.d/1.toml", "[tenant.system.vm]\ncpu = \"2\"\n"),
        ])
        .unwrap();
        let shipped = Tenants::default();
        assert_eq!(config.tenant.default.host_access, cofferdam_tenant::HostAccess::Allowed);
        assert_eq!(config.tenant.default.network, shipped.default.network);
        assert_eq!(config.tenant.system.vm.cpu, "2");
        assert_eq!(config.tenant.system.network, shipped.system.network);
        assert_eq!(config.tenant.system.host_access, shipped.system.host_access);
        // Who says anything about the network says it all: nothing is opened that was not asked for.
        let config = with(&[("config.toml", "[tenant.default.network]\nallowTo = [{dns = true}]\n")]).unwrap();
        assert_eq!(config.tenant.default.network.isolation, cofferdam_tenant::Isolation::Strict);
    }

    #[test]
    fn ids_end_at_2_to_the_31() {
        for (text, key) in [
            ("[vm]\nfirst_uid = 2147418113", "vm.first_uid"),
            ("[tenant]\nuser_namespace_range = [1000, 65536]", "tenant.user_namespace_range"),
            ("[tenant]\nuser_namespace_range = [65536, 2147483647]", "tenant.user_namespace_range"),
        ] {
            assert!(with(&[("config.toml", text)]).unwrap_err().to_string().contains(key), "{text}");
        }
        assert!(with(&[("config.toml", "[vm]\nfirst_uid = 2147418112")]).is_ok());
    }

    #[test]
    fn a_file_that_was_asked_for_must_exist() {
        assert!(matches!(load(Some(Path::new("/nonexistent/config.toml"))), Err(ConfigError::Read { .. })));
    }
}
