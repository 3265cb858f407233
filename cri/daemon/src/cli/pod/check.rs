//! What serde cannot say: names that must agree, values that must parse. Each refusal names the field and its line.

use std::collections::BTreeSet;

use cofferdam_netpolicy_watch::FileError;
use cofferdam_tenant::{parse_cpu, parse_memory};

use super::locate;
use super::manifest::{Container, DnsPolicy, HostPath, PodManifest, Seccomp, SeccompType, Volume};

/// Longest name of a pod (a DNS subdomain) and of all else (a DNS label).
const SUBDOMAIN: usize = 253;
const LABEL: usize = 63;

/// A Pod of a file. `line` is the document's first.
///
/// # Errors
/// The first thing that is wrong or not supported.
pub fn parse_pod(file: &str, line: u64, document: &str) -> Result<PodManifest, FileError> {
    let pod: PodManifest = serde_saphyr::from_str(document).map_err(|e| {
        let line = e.location().map_or(line, |l| line + l.line().saturating_sub(1));
        FileError { file: file.to_owned(), line, reason: plain(&e.without_snippet().to_string()) }
    })?;
    check(&pod).map_err(|wrong| FileError {
        file: file.to_owned(),
        line: line + locate::line(document, &wrong.field) - 1,
        reason: format!("{}: {}", wrong.field, wrong.reason),
    })?;
    Ok(pod)
}

/// serde cannot tell a misspelt field from one of Kubernetes' that is left out here.
fn plain(reason: &str) -> String {
    let Some(start) = reason.find("unknown field `") else { return reason.to_owned() };
    let rest = &reason[start + "unknown field `".len()..];
    let field = rest.split('`').next().unwrap_or_default();
    format!("field {field:?} is unknown, or not supported for pods of `cofferdam apply`")
}

/// A field, and what is wrong with it.
struct Wrong {
    field: String,
    reason: String,
}

impl Wrong {
    fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Wrong { field: field.into(), reason: reason.into() }
    }
}

fn check(pod: &PodManifest) -> Result<(), Wrong> {
    if pod.api_version != "v1" {
        return Err(Wrong::new("apiVersion", "a Pod is of v1"));
    }
    name("metadata.name", &pod.metadata.name, SUBDOMAIN)?;
    name("metadata.namespace", pod.namespace(), LABEL)?;
    let spec = &pod.spec;
    if let Some(hostname) = &spec.hostname {
        name("spec.hostname", hostname, LABEL)?;
    }
    if spec.dns_config.is_some() && spec.dns_policy != DnsPolicy::None {
        return Err(Wrong::new("spec.dnsConfig", "is supported with dnsPolicy None only"));
    }
    if spec.dns_policy == DnsPolicy::None && spec.dns_config.as_ref().is_none_or(|c| c.nameservers.is_empty()) {
        return Err(Wrong::new("spec.dnsPolicy", "needs dnsConfig.nameservers"));
    }
    if spec.host_users == Some(false) && (spec.host_network || spec.host_pid || spec.host_ipc) {
        return Err(Wrong::new("spec.hostUsers", "goes with none of hostNetwork, hostPID and hostIPC"));
    }
    if spec.share_process_namespace && spec.host_pid {
        return Err(Wrong::new("spec.shareProcessNamespace", "hostPID is set as well"));
    }
    seccomp("spec.securityContext.seccompProfile", spec.security_context.seccomp_profile.as_ref())?;
    volumes(&spec.volumes)?;
    if spec.containers.is_empty() {
        return Err(Wrong::new("spec.containers", "is empty"));
    }
    let mut names = BTreeSet::new();
    for (i, container) in spec.containers.iter().enumerate() {
        let at = format!("spec.containers[{i}]");
        name(&format!("{at}.name"), &container.name, LABEL)?;
        if !names.insert(&container.name) {
            return Err(Wrong::new(format!("{at}.name"), "a second container of this name"));
        }
        check_container(&at, container, &spec.volumes)?;
    }
    Ok(())
}

fn name(field: &str, value: &str, longest: usize) -> Result<(), Wrong> {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || (longest == SUBDOMAIN && c == '.');
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let fits = value.len() <= longest && value.chars().all(good);
    if fits && ends(value.chars().next()) && ends(value.chars().last()) {
        return Ok(());
    }
    Err(Wrong::new(field, format!("{value:?} is no name: at most {longest} of a-z, 0-9 and -, no - at an end")))
}

fn volumes(volumes: &[Volume]) -> Result<(), Wrong> {
    let mut names = BTreeSet::new();
    for (i, volume) in volumes.iter().enumerate() {
        let at = format!("spec.volumes[{i}]");
        name(&format!("{at}.name"), &volume.name, LABEL)?;
        if !names.insert(&volume.name) {
            return Err(Wrong::new(format!("{at}.name"), "a second volume of this name"));
        }
        if volume.host_path.is_some() == volume.empty_dir.is_some() {
            return Err(Wrong::new(format!("{at}.name"), "needs one of hostPath and emptyDir"));
        }
        if let Some(HostPath { path, .. }) = &volume.host_path
            && (!path.starts_with('/') || path.split('/').any(|part| part == ".."))
        {
            return Err(Wrong::new(format!("{at}.hostPath.path"), "must be absolute, without \"..\""));
        }
    }
    Ok(())
}

fn seccomp(field: &str, profile: Option<&Seccomp>) -> Result<(), Wrong> {
    match profile {
        Some(p) if p.r#type == SeccompType::Localhost || p.localhost_profile.is_some() => {
            Err(Wrong::new(field, "profiles from files are not supported yet"))
        }
        _ => Ok(()),
    }
}

fn check_container(at: &str, container: &Container, volumes: &[Volume]) -> Result<(), Wrong> {
    if container.image.is_empty() {
        return Err(Wrong::new(format!("{at}.image"), "is empty"));
    }
    for (i, variable) in container.env.iter().enumerate() {
        if variable.name.is_empty() || variable.name.contains(['=', '\0']) {
            return Err(Wrong::new(format!("{at}.env[{i}].name"), "is no name of a variable"));
        }
    }
    for (i, port) in container.ports.iter().enumerate() {
        if port.container_port == 0 {
            return Err(Wrong::new(format!("{at}.ports[{i}].containerPort"), "is not within 1..=65535"));
        }
        if port.host_port != 0 {
            let reason = "host ports are not supported yet";
            return Err(Wrong::new(format!("{at}.ports[{i}].hostPort"), reason));
        }
    }
    for (i, mount) in container.volume_mounts.iter().enumerate() {
        let at = format!("{at}.volumeMounts[{i}]");
        if !volumes.iter().any(|v| v.name == mount.name) {
            return Err(Wrong::new(format!("{at}.name"), format!("no volume {:?}", mount.name)));
        }
        if !mount.mount_path.starts_with('/') {
            return Err(Wrong::new(format!("{at}.mountPath"), "is not absolute"));
        }
    }
    let security = &container.security_context;
    if security.privileged && security.allow_privilege_escalation == Some(false) {
        let field = format!("{at}.securityContext.allowPrivilegeEscalation");
        return Err(Wrong::new(field, "a privileged container cannot do without"));
    }
    seccomp(&format!("{at}.securityContext.seccompProfile"), security.seccomp_profile.as_ref())?;
    quantities(at, container)
}

fn quantities(at: &str, container: &Container) -> Result<(), Wrong> {
    let r = &container.resources;
    for (which, amounts) in [("limits", &r.limits), ("requests", &r.requests)] {
        let wrong = |key: &str, value: &str| {
            Err(Wrong::new(format!("{at}.resources.{which}.{key}"), format!("{value:?} is no quantity")))
        };
        if let Some(cpu) = amounts.cpu.as_deref().filter(|q| parse_cpu(q).is_none()) {
            return wrong("cpu", cpu);
        }
        if let Some(memory) = amounts.memory.as_deref().filter(|q| parse_memory(q).is_none()) {
            return wrong("memory", memory);
        }
    }
    let above = |request: Option<u64>, limit: Option<u64>| matches!((request, limit), (Some(r), Some(l)) if r > l);
    let cpu = |q: &Option<String>| q.as_deref().and_then(parse_cpu);
    let memory = |q: &Option<String>| q.as_deref().and_then(parse_memory);
    let field = format!("{at}.resources.requests");
    if above(cpu(&r.requests.cpu), cpu(&r.limits.cpu)) {
        return Err(Wrong::new(field + ".cpu", "is above the limit"));
    }
    if above(memory(&r.requests.memory), memory(&r.limits.memory)) {
        return Err(Wrong::new(field + ".memory", "is above the limit"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(spec: &str) -> FileError {
        let text = format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: web}}\nspec:\n{spec}\n");
        match parse_pod("pod.yaml", 11, &text) {
            Ok(pod) => panic!("accepted: {pod:?}"),
            Err(error) => error,
        }
    }

    #[test]
    fn a_field_that_is_not_supported_is_refused_by_name_file_and_line() {
        let error = refused("  containers:\n  - name: c\n    image: i\n    livenessProbe: {tcpSocket: {port: 1}}");
        assert_eq!((error.file.as_str(), error.line), ("pod.yaml", 18), "{error}");
        assert!(error.reason.starts_with("field \"livenessProbe\" is unknown, or not supported"), "{error}");
    }

    #[test]
    fn every_level_refuses_what_it_does_not_know() {
        for (line, field) in [
            ("  initContainers: []\n  containers: []", "initContainers"),
            ("  containers: [{name: c, image: i, env: [{name: A, valueFrom: {}}]}]", "valueFrom"),
            ("  containers: [{name: c, image: i, volumeMounts: [{name: v, mountPath: /v, subPath: a}]}]", "subPath"),
            ("  containers: [{name: c, image: i, resources: {limits: {hugepages-2Mi: 4Mi}}}]", "hugepages-2Mi"),
            ("  containers: [{name: c, image: i, securityContext: {procMount: Unmasked}}]", "procMount"),
            ("  volumes: [{name: v, emptyDir: {medium: Memory}}]\n  containers: []", "medium"),
            ("  volumes: [{name: v, configMap: {name: a}}]\n  containers: []", "configMap"),
            ("  securityContext: {fsGroup: 3}\n  containers: []", "fsGroup"),
        ] {
            let error = refused(line);
            assert!(error.line == 15 && error.reason.contains(&format!("{field:?}")), "{field}: {error}");
        }
    }

    #[test]
    fn values_that_do_not_fit_are_refused_at_their_line() {
        let container = |more: &str| format!("  containers:\n  - name: c\n    image: i\n    {more}");
        for (spec, line, text) in [
            (container("volumeMounts: [{name: data, mountPath: /d}]"), 18, "volumeMounts[0].name: no volume \"data\""),
            (container("resources: {limits: {memory: lots}}"), 18, "\"lots\" is no quantity"),
            (container("resources: {limits: {cpu: 1}, requests: {cpu: 2}}"), 18, "above the limit"),
            (container("ports: [{containerPort: 80, hostPort: 8080}]"), 18, "hostPort: host ports"),
            (container("securityContext: {seccompProfile: {type: Localhost}}"), 18, "seccompProfile: profiles"),
            ("  dnsPolicy: None\n  containers: [{name: c, image: i}]".into(), 15, "needs dnsConfig.nameservers"),
            ("  volumes: [{name: v}]\n  containers: [{name: c, image: i}]".into(), 15, "needs one of hostPath"),
            ("  containers: []".into(), 15, "spec.containers: is empty"),
            ("  containers: [{name: C, image: i}]".into(), 15, "\"C\" is no name"),
        ] {
            let error = refused(&spec);
            assert!(error.line == line && error.to_string().contains(text), "{text}: {error}");
        }
    }

    #[test]
    fn quantities_may_be_numbers() {
        let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: c, image: i, resources: {limits: {cpu: 2}}}]}";
        assert_eq!(parse_pod("f", 1, text).unwrap().spec.containers[0].resources.limits.cpu.as_deref(), Some("2"));
    }
}
