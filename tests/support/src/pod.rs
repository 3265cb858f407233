//! The files that crictl takes for pods and containers.

use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

/// The full name of a test image: `image("busybox")`.
pub fn image(name: &str) -> String {
    format!("127.0.0.1:5000/test/{name}:latest")
}

/// A `PodSandboxConfig` as JSON, and the handler.
#[derive(Clone, Debug)]
pub struct PodSpec {
    pub(crate) handler: String,
    pub(crate) config: Value,
}

impl PodSpec {
    /// A pod as kubelet would describe it, with its default handler and a PID namespace for each container.
    pub fn new(namespace: &str, name: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let uid = format!("{:08x}-0000-4000-8000-{:012x}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let config = json!({
            "metadata": {"name": name, "namespace": namespace, "uid": uid, "attempt": 0},
            "hostname": name,
            "log_directory": "",
            "labels": {
                "io.kubernetes.pod.name": name,
                "io.kubernetes.pod.namespace": namespace,
                "io.kubernetes.pod.uid": uid,
            },
            "annotations": {},
            "linux": {"security_context": {"namespace_options": {"pid": 1}}},
        });
        Self { handler: String::new(), config }
    }

    /// `namespace`, `vm`, or the tenant's default when empty.
    #[must_use]
    pub fn handler(mut self, handler: &str) -> Self {
        handler.clone_into(&mut self.handler);
        self
    }

    /// A label.
    #[must_use]
    pub fn label(self, key: &str, value: &str) -> Self {
        self.with(|config| config["labels"][key] = json!(value))
    }

    /// One PID namespace for the whole pod.
    #[must_use]
    pub fn share_pid(self) -> Self {
        self.with(|config| config["linux"]["security_context"]["namespace_options"]["pid"] = json!(0))
    }

    /// The pod's cgroup.
    #[must_use]
    pub fn cgroup_parent(self, path: &str) -> Self {
        self.with(|config| config["linux"]["cgroup_parent"] = json!(path))
    }

    /// Any other change of the JSON.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Value)) -> Self {
        change(&mut self.config);
        self
    }

    /// The UID in its metadata.
    pub fn uid(&self) -> &str {
        self.config["metadata"]["uid"].as_str().unwrap_or_default()
    }
}

/// A `ContainerConfig` as JSON.
#[derive(Clone, Debug)]
pub struct ContainerSpec {
    pub(crate) config: Value,
}

impl ContainerSpec {
    /// A container that runs the image's own command; its log is `NAME.log` in the pod's log directory.
    pub fn new(name: &str, image: &str) -> Self {
        Self {
            config: json!({
                "metadata": {"name": name, "attempt": 0},
                "image": {"image": image},
                "log_path": format!("{name}.log"),
                "labels": {"io.kubernetes.container.name": name},
                "linux": {"security_context": {"namespace_options": {"pid": 1}}, "resources": {}},
            }),
        }
    }

    /// The command, in place of the image's entrypoint.
    #[must_use]
    pub fn command(self, command: &[&str]) -> Self {
        self.with(|config| config["command"] = json!(command))
    }

    /// `sh -c SCRIPT`.
    #[must_use]
    pub fn shell(self, script: &str) -> Self {
        self.command(&["/bin/sh", "-c", script])
    }

    /// Joins the pod's PID namespace.
    #[must_use]
    pub fn share_pid(self) -> Self {
        self.with(|config| config["linux"]["security_context"]["namespace_options"]["pid"] = json!(0))
    }

    /// How often it was started before.
    #[must_use]
    pub fn attempt(self, attempt: u32) -> Self {
        self.with(|config| config["metadata"]["attempt"] = json!(attempt))
    }

    /// Any other change of the JSON.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Value)) -> Self {
        change(&mut self.config);
        self
    }
}
