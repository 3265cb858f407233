//! kubectl as the cluster's administrator.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use cofferdam_test_support::{Output, eventually, kubernetes_path, output_of};
use serde_json::Value;

/// kubectl inside the node's network namespace.
#[derive(Clone, Debug)]
pub struct Kubectl {
    netns: PathBuf,
    kubeconfig: PathBuf,
    dir: PathBuf,
}

impl Kubectl {
    pub(crate) fn new(netns: &Path, kubeconfig: &Path, dir: &Path) -> Self {
        Self { netns: netns.to_owned(), kubeconfig: kubeconfig.to_owned(), dir: dir.to_owned() }
    }

    /// Runs it to its end, whatever that is.
    pub fn output(&self, args: &[&str]) -> Result<Output> {
        let fixed = [
            format!("--net={}", self.netns.display()),
            kubernetes_path("kubectl", "kubectl")?.display().to_string(),
            format!("--kubeconfig={}", self.kubeconfig.display()),
            // kubectl keeps what it discovers in the home directory, by the address of the API server, which all
            // clusters share.
            format!("--cache-dir={}", self.dir.join("kubectl-cache").display()),
        ];
        output_of("nsenter", fixed.iter().map(String::as_str).chain(args.iter().copied()))
    }

    /// Runs it; it has to succeed.
    pub fn run(&self, args: &[&str]) -> Result<String> {
        self.output(args)?.ok()
    }

    /// Creates or changes what is in the manifest. `name` is that of the file it is kept in.
    pub fn apply(&self, name: &str, yaml: &str) -> Result<()> {
        let file = self.dir.join(format!("{name}.yaml"));
        fs::write(&file, yaml)?;
        self.run(&["apply", "-f", &file.display().to_string()]).map(drop)
    }

    /// One object or a list, as JSON.
    pub fn get(&self, args: &[&str]) -> Result<Value> {
        let text = self.run(&[&["get", "-o", "json"], args].concat())?;
        serde_json::from_str(&text).with_context(|| format!("kubectl get {args:?}"))
    }

    /// Waits until a condition of an object is `True`, such as `Ready` of a node.
    pub fn wait_condition(&self, object: &[&str], condition: &str) -> Result<()> {
        eventually(&format!("{object:?} is {condition}"), || {
            let object = self.get(object)?;
            let all = object["status"]["conditions"].as_array().into_iter().flatten();
            let found = all.clone().any(|one| one["type"] == condition && one["status"] == "True");
            if found { Ok(true) } else { anyhow::bail!("{}", object["status"]) }
        })
    }
}
