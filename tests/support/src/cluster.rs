//! The directory source: objects as YAML files, written whole so that a reader never sees half of one.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// A daemon's cluster directory.
#[derive(Clone, Debug)]
pub struct ClusterDir {
    path: PathBuf,
}

impl ClusterDir {
    pub(crate) fn create(path: PathBuf) -> Result<Self> {
        fs::create_dir_all(&path)?;
        Ok(Self { path })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes or replaces `NAME.yaml`.
    pub fn write(&self, name: &str, yaml: &str) -> Result<()> {
        let file = self.path.join(format!("{name}.yaml"));
        let part = self.path.join(format!(".{name}.part"));
        fs::write(&part, yaml).with_context(|| part.display().to_string())?;
        fs::rename(&part, &file).with_context(|| file.display().to_string())
    }

    /// Removes `NAME.yaml`.
    pub fn remove(&self, name: &str) -> Result<()> {
        let file = self.path.join(format!("{name}.yaml"));
        fs::remove_file(&file).with_context(|| file.display().to_string())
    }

    /// A namespace that belongs to a tenant, in a file of its own.
    pub fn namespace(&self, name: &str, tenant: Option<&str>) -> Result<()> {
        self.write(&format!("namespace-{name}"), &namespace_yaml(name, tenant))
    }

    /// A tenant, in a file of its own. `spec` is flow or block YAML of its `spec`.
    pub fn tenant(&self, name: &str, spec: &str) -> Result<()> {
        self.write(&format!("tenant-{name}"), &tenant_yaml(name, spec))
    }
}

/// A Namespace object.
pub fn namespace_yaml(name: &str, tenant: Option<&str>) -> String {
    let label = tenant.map(|tenant| format!(", cofferdam.dev/tenant: {tenant}")).unwrap_or_default();
    format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, labels: {{kubernetes.io/metadata.name: {name}{label}}}}}\n"
    )
}

/// A Tenant object; the lines of `spec` are indented.
pub fn tenant_yaml(name: &str, spec: &str) -> String {
    let spec: String = spec.lines().map(|line| format!("  {line}\n")).collect();
    format!("apiVersion: cofferdam.dev/v1alpha1\nkind: Tenant\nmetadata: {{name: {name}}}\nspec:\n{spec}")
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_spec_of_several_lines_stays_below_spec() {
        let yaml = super::tenant_yaml("acme", "sandbox: {minimum: vm}\nnetwork:\n  isolation: Open");
        assert!(yaml.ends_with("spec:\n  sandbox: {minimum: vm}\n  network:\n    isolation: Open\n"), "{yaml}");
    }
}
