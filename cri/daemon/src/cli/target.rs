//! `NS/POD` on the command line, and which container of it is meant.

use std::fmt;
use std::str::FromStr;

use cofferdam_cri_api::v1 as cri;

use super::connect::Clients;
use super::error::CliError;

/// A pod by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodName {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

impl FromStr for PodName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
                Ok(PodName { namespace: namespace.to_owned(), name: name.to_owned() })
            }
            _ => Err("is not NAMESPACE/POD".into()),
        }
    }
}

impl fmt::Display for PodName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The container of that name, or the pod's only one; of several runs the newest.
///
/// # Errors
/// No such pod or container, or several containers and no name; says which there are.
pub async fn container(clients: &mut Clients, pod: &PodName, name: Option<&str>) -> Result<cri::Container, CliError> {
    let all = clients.runtime.list_pod_sandbox(cri::ListPodSandboxRequest { filter: None }).await?.into_inner().items;
    let is_it =
        |s: &&cri::PodSandbox| s.metadata.as_ref().is_some_and(|m| m.namespace == pod.namespace && m.name == pod.name);
    // A live one before those that ended.
    let sandbox = all.iter().filter(is_it).min_by_key(|s| (s.state, std::cmp::Reverse(s.created_at)));
    let sandbox = sandbox.ok_or_else(|| CliError::Other(format!("pod {pod} does not exist")))?;
    let filter = cri::ContainerFilter { pod_sandbox_id: sandbox.id.clone(), ..Default::default() };
    let request = cri::ListContainersRequest { filter: Some(filter) };
    choose(clients.runtime.list_containers(request).await?.into_inner().containers, pod, name)
}

/// The status of a container.
///
/// # Errors
/// The daemon's.
pub async fn container_status(clients: &mut Clients, id: &str) -> Result<cri::ContainerStatus, CliError> {
    let request = cri::ContainerStatusRequest { container_id: id.to_owned(), verbose: false };
    let answer = clients.runtime.container_status(request).await?.into_inner();
    answer.status.ok_or_else(|| CliError::Other(format!("container {id} has no status")))
}

fn container_name(container: &cri::Container) -> &str {
    container.metadata.as_ref().map_or("", |m| &m.name)
}

fn choose(mut all: Vec<cri::Container>, pod: &PodName, name: Option<&str>) -> Result<cri::Container, CliError> {
    all.sort_by_key(|c| std::cmp::Reverse((c.metadata.as_ref().map_or(0, |m| m.attempt), c.created_at)));
    let mut names: Vec<String> = all.iter().map(|c| container_name(c).to_owned()).collect();
    names.sort();
    names.dedup();
    let wanted = match (name, names.as_slice()) {
        (Some(name), _) => name.to_owned(),
        (None, [only]) => only.clone(),
        (None, []) => return Err(CliError::Other(format!("pod {pod} has no containers"))),
        (None, _) => {
            return Err(CliError::Other(format!(
                "pod {pod} has several containers, choose with -c: {}",
                names.join(", ")
            )));
        }
    };
    let found = all.into_iter().find(|c| container_name(c) == wanted);
    found
        .ok_or_else(|| CliError::Other(format!("pod {pod} has no container {wanted:?} (it has: {})", names.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(name: &str, attempt: u32) -> cri::Container {
        let metadata = Some(cri::ContainerMetadata { name: name.into(), attempt });
        cri::Container { id: format!("{name}{attempt}"), metadata, ..Default::default() }
    }

    #[test]
    fn a_pod_is_named_with_its_namespace() {
        assert_eq!("acme/web".parse::<PodName>().unwrap().to_string(), "acme/web");
        for bad in ["web", "/web", "acme/", "a/b/c"] {
            assert!(bad.parse::<PodName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_only_container_or_the_named_one_is_meant_and_its_newest_run() {
        let pod: PodName = "a/b".parse().unwrap();
        let one = vec![container("web", 0), container("web", 2), container("web", 1)];
        assert_eq!(choose(one.clone(), &pod, None).unwrap().id, "web2");
        let two = [one, vec![container("log", 0)]].concat();
        assert_eq!(choose(two.clone(), &pod, Some("log")).unwrap().id, "log0");
        assert!(choose(two.clone(), &pod, None).unwrap_err().to_string().ends_with("choose with -c: log, web"));
        assert!(choose(two, &pod, Some("x")).unwrap_err().to_string().contains("(it has: log, web)"));
        assert!(choose(vec![], &pod, None).is_err());
    }
}
