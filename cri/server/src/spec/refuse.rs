//! What is refused, with the field's name. The README's limits list the same.

use std::path::Path;

use cofferdam_cri_api::v1 as cri;

use super::SpecError;

/// Fields of a container that this release cannot honour.
pub(crate) fn container(config: &cri::ContainerConfig) -> Result<(), SpecError> {
    if config.windows.is_some() {
        return Err(SpecError::new("windows", "this is a Linux runtime"));
    }
    if !config.cdi_devices.is_empty() {
        return Err(SpecError::new("CDI_devices", "not supported yet"));
    }
    config.mounts.iter().enumerate().try_for_each(|(i, m)| mount(i, m))?;
    let Some(linux) = &config.linux else { return Ok(()) };
    let Some(security) = &linux.security_context else { return Ok(()) };
    selinux("linux.security_context.selinux_options", security.selinux_options.as_ref())?;
    apparmor("linux.security_context.apparmor", security.apparmor.as_ref())?;
    if !matches!(security.apparmor_profile.as_str(), "" | "unconfined" | "runtime/default") {
        return Err(SpecError::new("linux.security_context.apparmor_profile", "AppArmor profiles are not supported"));
    }
    seccomp("linux.security_context.seccomp", security.seccomp.as_ref())?;
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
    // Without SELinux on the node there are no labels to change, so the wish is fulfilled.
    if mount.selinux_relabel && Path::new("/sys/fs/selinux/enforce").exists() {
        return Err(SpecError::new(field("selinux_relabel"), "SELinux is not supported"));
    }
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
    for (i, port) in config.port_mappings.iter().enumerate() {
        if port.host_port != 0 {
            return Err(SpecError::new(format!("port_mappings[{i}].host_port"), "host ports are not supported yet"));
        }
    }
    let Some(security) = config.linux.as_ref().and_then(|l| l.security_context.as_ref()) else { return Ok(()) };
    selinux("linux.security_context.selinux_options", security.selinux_options.as_ref())?;
    apparmor("linux.security_context.apparmor", security.apparmor.as_ref())?;
    seccomp("linux.security_context.seccomp", security.seccomp.as_ref())
}

fn selinux(field: &str, options: Option<&cri::SeLinuxOption>) -> Result<(), SpecError> {
    match options {
        Some(o) if !(o.user.is_empty() && o.role.is_empty() && o.r#type.is_empty() && o.level.is_empty()) => {
            Err(SpecError::new(field, "SELinux is not supported"))
        }
        _ => Ok(()),
    }
}

fn apparmor(field: &str, profile: Option<&cri::SecurityProfile>) -> Result<(), SpecError> {
    match profile.map(|p| p.profile_type()) {
        // On a node without AppArmor the default profile is none; on one that has it, it would be silently missing.
        Some(cri::security_profile::ProfileType::RuntimeDefault)
            if Path::new("/sys/module/apparmor/parameters/enabled").exists() =>
        {
            Err(SpecError::new(field, "AppArmor profiles are not supported"))
        }
        Some(cri::security_profile::ProfileType::Localhost) => {
            Err(SpecError::new(field, "AppArmor profiles are not supported"))
        }
        _ => Ok(()),
    }
}

fn seccomp(field: &str, profile: Option<&cri::SecurityProfile>) -> Result<(), SpecError> {
    match profile.map(|p| p.profile_type()) {
        Some(cri::security_profile::ProfileType::Localhost) => {
            Err(SpecError::new(format!("{field}.localhost_ref"), "seccomp profiles from files are not supported yet"))
        }
        _ => Ok(()),
    }
}
