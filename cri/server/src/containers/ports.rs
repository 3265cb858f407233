//! The ports that containers declare, for policies that name ports.

use std::collections::HashMap;

use cofferdam_netpolicy::ContainerPort;

use super::state::Containers;
use crate::error::Error;

/// kubelet sends a container's ports as JSON in this annotation of the container, so a pod's named ports become known
/// one container at a time.
const PORTS: &str = "io.kubernetes.container.ports";

impl Containers {
    /// The ports that the containers made so far declare.
    pub fn ports_of(&self, sandbox: &str) -> Vec<ContainerPort> {
        self.of_sandbox(sandbox).iter().flat_map(|c| declared(&c.config.annotations)).collect()
    }

    /// A container that declares ports may be what a policy's named port waits for: in force before its process runs.
    pub(super) async fn program_ports(&self, sandbox: &str) -> Result<(), Error> {
        let ports = self.ports_of(sandbox);
        if ports.is_empty() {
            return Ok(());
        }
        Ok(self.node.policy.set_ports(sandbox, ports).await?)
    }
}

/// What is not JSON of the expected form names no port.
fn declared(annotations: &HashMap<String, String>) -> Vec<ContainerPort> {
    annotations.get(PORTS).and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_come_from_kubelets_annotation_and_nonsense_names_none() {
        let of = |text: &str| declared(&HashMap::from([(PORTS.to_owned(), text.to_owned())]));
        let ports =
            of(r#"[{"name":"web","containerPort":8080,"protocol":"TCP"},{"containerPort":53,"protocol":"UDP"}]"#);
        assert_eq!((ports.len(), ports[0].name.as_str(), ports[0].container_port), (2, "web", 8080));
        assert!(of("{").is_empty() && declared(&HashMap::new()).is_empty());
    }
}
