//! The namespaces that a container names: they are the pod's, and a wish for others is refused.

use cofferdam_cri_api::v1 as cri;
use cofferdam_sandbox::{IdMap, NamespaceMode, PodNamespaces};

use super::error::SpecError;

/// Whether the pod has what the container asks for. POD, the zero value, is what a client says that says nothing.
pub(super) fn check(options: Option<&cri::NamespaceOption>, pod: &PodNamespaces) -> Result<(), SpecError> {
    let Some(options) = options else { return Ok(()) };
    let wrong = |name: &str, reason: &str| {
        Err(SpecError::new(format!("linux.security_context.namespace_options.{name}"), reason))
    };
    let asked =
        [("network", options.network, pod.network), ("pid", options.pid, pod.pid), ("ipc", options.ipc, pod.ipc)];
    for (name, mode, pods) in asked {
        let fits = match cri::NamespaceMode::try_from(mode) {
            Ok(cri::NamespaceMode::Pod) => true,
            Ok(cri::NamespaceMode::Node) => pods == NamespaceMode::Node,
            Ok(cri::NamespaceMode::Container) => pods == NamespaceMode::Container,
            Ok(cri::NamespaceMode::Target) => name == "pid",
            Err(_) => false,
        };
        if !fits {
            return wrong(name, "is not the pod's mode");
        }
    }
    let Some(user) = options.userns_options.as_ref().filter(|u| u.mode() == cri::NamespaceMode::Pod) else {
        return Ok(());
    };
    let Some(pods) = &pod.user else { return wrong("userns_options", "the pod has no user namespace") };
    let maps = |asked: &[cri::IdMapping]| -> Vec<IdMap> {
        asked.iter().map(|m| IdMap { container: m.container_id, host: m.host_id, size: m.length }).collect()
    };
    if maps(&user.uids) != pods.uids || maps(&user.gids) != pods.gids {
        return wrong("userns_options", "is not the pod's mapping");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use cofferdam_sandbox::UserNamespace;

    use super::*;

    fn pod() -> PodNamespaces {
        let (network, pid, ipc) = (NamespaceMode::Pod, NamespaceMode::Container, NamespaceMode::Pod);
        PodNamespaces { network, pid, ipc, user: None }
    }

    fn field(options: cri::NamespaceOption, pod: &PodNamespaces) -> String {
        check(Some(&options), pod).map_or_else(|e| e.field.rsplit('.').next().unwrap().to_owned(), |()| String::new())
    }

    #[test]
    fn a_container_gets_the_pods_namespaces_or_a_refusal() {
        let node = cri::NamespaceMode::Node.into();
        assert_eq!(field(Default::default(), &pod()), "");
        let pid = |mode: cri::NamespaceMode| cri::NamespaceOption { pid: mode.into(), ..Default::default() };
        assert_eq!(field(pid(cri::NamespaceMode::Container), &pod()), "");
        assert_eq!(field(pid(cri::NamespaceMode::Target), &pod()), "");
        assert_eq!(field(pid(cri::NamespaceMode::Node), &pod()), "pid");
        assert_eq!(field(cri::NamespaceOption { network: node, ..Default::default() }, &pod()), "network");
        assert_eq!(field(cri::NamespaceOption { ipc: node, ..Default::default() }, &pod()), "ipc");
        let host = PodNamespaces { network: NamespaceMode::Node, ..pod() };
        assert_eq!(field(cri::NamespaceOption { network: node, ..Default::default() }, &host), "");
        assert_eq!(field(cri::NamespaceOption { ipc: 17, ..Default::default() }, &pod()), "ipc");
    }

    #[test]
    fn a_user_namespace_is_the_pods_or_none() {
        let ids = vec![cri::IdMapping { host_id: 65536, container_id: 0, length: 65536 }];
        let user = cri::UserNamespace { mode: cri::NamespaceMode::Pod.into(), uids: ids.clone(), gids: ids };
        let options = cri::NamespaceOption { userns_options: Some(user), ..Default::default() };
        assert_eq!(field(options.clone(), &pod()), "userns_options");
        let map = |host| vec![IdMap { container: 0, host, size: 65536 }];
        let with = |host| PodNamespaces { user: Some(UserNamespace { uids: map(host), gids: map(host) }), ..pod() };
        assert_eq!(field(options.clone(), &with(65536)), "");
        assert_eq!(field(options, &with(131072)), "userns_options");
    }
}
