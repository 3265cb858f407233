//! What is refused, with the field's name. The README's limits list the same.

use std::path::Path;

use cofferdam_cri_api::v1 as cri;
use cofferdam_sandbox::SandboxSpec;

use super::error::SpecError;
use super::{ids, namespaces};

/// A container's mounts at most: each is held open while it is made.
const MOUNTS: usize = 1024;

/// Fields of a container that this release cannot honour.
pub(crate) fn container(config: &cri::ContainerConfig, pod: &SandboxSpec) -> Result<(), SpecError> {
    if config.windows.is_some() {
        return Err(SpecError::new("windows", "this is a Linux runtime"));
    }
    if !config.cdi_devices.is_empty() {
        return Err(SpecError::new("CDI_devices", "not supported yet"));
    }
    if config.mounts.len() > MOUNTS {
        return Err(SpecError::new("mounts", format!("{} are more than {MOUNTS}", config.mounts.len())));
    }
    config.mounts.iter().enumerate().try_for_each(|(i, m)| mount(i, m))?;
    let Some(linux) = &config.linux else { return Ok(()) };
    let Some(security) = &linux.security_context else { return Ok(()) };
    selinux("linux.security_context.selinux_options", security.selinux_options.as_ref(), has_selinux())?;
    apparmor("linux.security_context.apparmor", security.apparmor.as_ref())?;
    namespaces::check(security.namespace_options.as_ref(), &pod.namespaces)?;
    let refused = match security.apparmor_profile.as_str() {
        "" | "unconfined" => false,
        "runtime/default" => has_apparmor(),
        _ => true,
    };
    if refused {
        return Err(SpecError::new("linux.security_context.apparmor_profile", "AppArmor profiles are not supported"));
    }
    seccomp(security.seccomp.as_ref(), &security.seccomp_profile_path)?;
    if cri::SupplementalGroupsPolicy::try_from(security.supplemental_groups_policy).is_err() {
        return Err(SpecError::new("linux.security_context.supplemental_groups_policy", "is not known"));
    }
    let (user, group) = (security.run_as_user.as_ref(), security.run_as_group.as_ref());
    ids::check_user("linux.security_context", user, group, &security.supplemental_groups)?;
    if !security.run_as_username.is_empty() && security.run_as_user.is_some() {
        return Err(SpecError::new("linux.security_context.run_as_username", "run_as_user is set as well"));
    }
    if security.run_as_group.is_some() && security.run_as_user.is_none() && security.run_as_username.is_empty() {
        return Err(SpecError::new(
            "linux.security_context.run_as_group",
            "set without run_as_user or run_as_username",
        ));
    }
    Ok(())
}

fn mount(index: usize, mount: &cri::Mount) -> Result<(), SpecError> {
    let field = |name: &str| format!("mounts[{index}].{name}");
    if mount.image.is_some() || !mount.image_sub_path.is_empty() {
        return Err(SpecError::new(field("image"), "image volumes are not supported yet"));
    }
    if !mount.mount_options.is_empty() {
        return Err(SpecError::new(field("mount_options"), "not supported yet"));
    }
    if !Path::new(&mount.container_path).is_absolute() {
        return Err(SpecError::new(field("container_path"), format!("{:?} is not absolute", mount.container_path)));
    }
    if !Path::new(&mount.host_path).is_absolute() {
        return Err(SpecError::new(field("host_path"), format!("{:?} is not absolute", mount.host_path)));
    }
    if cri::MountPropagation::try_from(mount.propagation).is_err() {
        return Err(SpecError::new(field("propagation"), "is not known"));
    }
    // Without SELinux on the node there are no labels to change, so the wish is fulfilled.
    if mount.selinux_relabel && has_selinux() {
        return Err(SpecError::new(field("selinux_relabel"), "SELinux is not supported"));
    }
    ids::check_mappings(&field("uidMappings"), &mount.uid_mappings)?;
    ids::check_mappings(&field("gidMappings"), &mount.gid_mappings)?;
    if mount.recursive_read_only && !mount.readonly {
        return Err(SpecError::new(field("recursive_read_only"), "set without readonly"));
    }
    if mount.recursive_read_only && mount.propagation() != cri::MountPropagation::PropagationPrivate {
        return Err(SpecError::new(field("recursive_read_only"), "needs private propagation"));
    }
    Ok(())
}

/// Fields of a pod sandbox that this release cannot honour.
pub(crate) fn sandbox(config: &cri::PodSandboxConfig) -> Result<(), SpecError> {
    if config.windows.is_some() {
        return Err(SpecError::new("windows", "this is a Linux runtime"));
    }
    let security = config.linux.as_ref().and_then(|l| l.security_context.as_ref());
    let options = security.and_then(|s| s.namespace_options.as_ref());
    let host_network = options.is_some_and(|o| o.network() == cri::NamespaceMode::Node);
    for (i, port) in config.port_mappings.iter().enumerate() {
        // On the node's network every port is the node's; Kubernetes writes it as its own mapping.
        if port.host_port != 0 && !(host_network && port.host_port == port.container_port) {
            return Err(SpecError::new(format!("port_mappings[{i}].host_port"), "host ports are not supported yet"));
        }
    }
    let Some(security) = security else { return Ok(()) };
    selinux("linux.security_context.selinux_options", security.selinux_options.as_ref(), has_selinux())?;
    apparmor("linux.security_context.apparmor", security.apparmor.as_ref())?;
    // They would be those of a pause container, and none is run with a wrong one.
    let (user, group) = (security.run_as_user.as_ref(), security.run_as_group.as_ref());
    ids::check_user("linux.security_context", user, group, &security.supplemental_groups)?;
    seccomp(security.seccomp.as_ref(), &security.seccomp_profile_path)
}

/// A label means nothing to a kernel without SELinux: pods that ask for one run there unlabelled, under every runtime.
fn selinux(field: &str, options: Option<&cri::SeLinuxOption>, present: bool) -> Result<(), SpecError> {
    match options {
        Some(o)
            if present && !(o.user.is_empty() && o.role.is_empty() && o.r#type.is_empty() && o.level.is_empty()) =>
        {
            Err(SpecError::new(field, "SELinux is not supported"))
        }
        _ => Ok(()),
    }
}

/// What this node's kernel lacks, and what that means for pods that ask for it.
pub(crate) fn lacks() -> Vec<String> {
    let selinux = (!has_selinux()).then_some("no SELinux: labels that pods ask for are passed over");
    let apparmor = (!has_apparmor()).then_some("no AppArmor: the default profile is none, named ones are refused");
    selinux.into_iter().chain(apparmor).map(str::to_owned).collect()
}

fn has_selinux() -> bool {
    Path::new("/sys/fs/selinux/enforce").exists()
}

fn apparmor(field: &str, profile: Option<&cri::SecurityProfile>) -> Result<(), SpecError> {
    match profile.map(|p| p.profile_type()) {
        // On a node without AppArmor the default profile is none; on one that has it, it would be silently missing.
        Some(cri::security_profile::ProfileType::RuntimeDefault) if has_apparmor() => {
            Err(SpecError::new(field, "AppArmor profiles are not supported"))
        }
        Some(cri::security_profile::ProfileType::Localhost) => {
            Err(SpecError::new(field, "AppArmor profiles are not supported"))
        }
        _ => Ok(()),
    }
}

/// It can be built in and switched off.
fn has_apparmor() -> bool {
    std::fs::read_to_string("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.trim() == "Y")
}

fn seccomp(profile: Option<&cri::SecurityProfile>, path: &str) -> Result<(), SpecError> {
    let field = "linux.security_context.seccomp";
    // The deprecated form; kubelet sends the new one only.
    if profile.is_none() && !matches!(path, "" | "unconfined") {
        return Err(SpecError::new(format!("{field}_profile_path"), "is deprecated and not supported: use seccomp"));
    }
    match profile.map(|p| p.profile_type()) {
        Some(cri::security_profile::ProfileType::Localhost) => {
            Err(SpecError::new(format!("{field}.localhost_ref"), "seccomp profiles from files are not supported yet"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field_of(result: Result<(), SpecError>) -> String {
        result.map_or_else(|e| e.field, |()| String::new())
    }

    #[test]
    fn a_port_of_the_node_is_refused_except_on_the_nodes_own_network() {
        let with = |network: cri::NamespaceMode, host_port| {
            let options = cri::NamespaceOption { network: network.into(), ..Default::default() };
            let security = cri::LinuxSandboxSecurityContext { namespace_options: Some(options), ..Default::default() };
            field_of(sandbox(&cri::PodSandboxConfig {
                port_mappings: vec![cri::PortMapping { container_port: 80, host_port, ..Default::default() }],
                linux: Some(cri::LinuxPodSandboxConfig { security_context: Some(security), ..Default::default() }),
                ..Default::default()
            }))
        };
        assert_eq!(with(cri::NamespaceMode::Pod, 0), "");
        assert_eq!(with(cri::NamespaceMode::Pod, 80), "port_mappings[0].host_port");
        assert_eq!(with(cri::NamespaceMode::Node, 80), "");
        assert_eq!(with(cri::NamespaceMode::Node, 81), "port_mappings[0].host_port");
    }

    #[test]
    fn a_label_of_selinux_is_refused_only_by_a_kernel_that_has_it() {
        let level = cri::SeLinuxOption { level: "s0".to_owned(), ..Default::default() };
        let refused = |options, present| field_of(selinux("selinux_options", options, present));
        assert_eq!(refused(Some(&level), true), "selinux_options");
        assert_eq!(refused(Some(&level), false), "");
        assert_eq!(refused(Some(&cri::SeLinuxOption::default()), true), "");
    }

    #[test]
    fn deprecated_and_unknown_values_are_refused_by_field() {
        let of = |path: &str, profile: Option<cri::SecurityProfile>| field_of(seccomp(profile.as_ref(), path));
        assert_eq!(of("localhost/x.json", None), "linux.security_context.seccomp_profile_path");
        assert_eq!((of("", None), of("unconfined", None)), Default::default());
        assert_eq!(of("localhost/x.json", Some(Default::default())), "");
        let path = |propagation| cri::Mount {
            container_path: "/a".into(),
            host_path: "/b".into(),
            propagation,
            ..Default::default()
        };
        assert_eq!(field_of(mount(0, &path(9))), "mounts[0].propagation");
        assert_eq!(field_of(mount(0, &path(1))), "");
    }
}
