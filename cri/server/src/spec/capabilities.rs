//! Capabilities of a container.

use std::collections::HashSet;

use cofferdam_cri_api::v1 as cri;
use oci_spec::runtime::{Capability, LinuxCapabilities, LinuxCapabilitiesBuilder};

use super::error::{SpecError, builder};

/// What a container has when nothing is asked: the set that Docker and containerd use.
const DEFAULT: [Capability; 14] = [
    Capability::AuditWrite,
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::Mknod,
    Capability::NetBindService,
    Capability::NetRaw,
    Capability::Setfcap,
    Capability::Setgid,
    Capability::Setpcap,
    Capability::Setuid,
    Capability::SysChroot,
];

/// Every capability of Linux; the runner takes those that the node holds.
const ALL: [Capability; 41] = [
    Capability::AuditControl,
    Capability::AuditRead,
    Capability::AuditWrite,
    Capability::BlockSuspend,
    Capability::Bpf,
    Capability::CheckpointRestore,
    Capability::Chown,
    Capability::DacOverride,
    Capability::DacReadSearch,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::IpcLock,
    Capability::IpcOwner,
    Capability::Kill,
    Capability::Lease,
    Capability::LinuxImmutable,
    Capability::MacAdmin,
    Capability::MacOverride,
    Capability::Mknod,
    Capability::NetAdmin,
    Capability::NetBindService,
    Capability::NetBroadcast,
    Capability::NetRaw,
    Capability::Perfmon,
    Capability::Setfcap,
    Capability::Setgid,
    Capability::Setpcap,
    Capability::Setuid,
    Capability::SysAdmin,
    Capability::SysBoot,
    Capability::SysChroot,
    Capability::SysModule,
    Capability::SysNice,
    Capability::SysPacct,
    Capability::SysPtrace,
    Capability::SysRawio,
    Capability::SysResource,
    Capability::SysTime,
    Capability::SysTtyConfig,
    Capability::Syslog,
    Capability::WakeAlarm,
];

/// The capabilities of a container's first process. For a user other than root the kernel clears the effective and
/// permitted sets at execve; ambient ones stay.
pub(super) fn capabilities(security: &cri::LinuxContainerSecurityContext) -> Result<LinuxCapabilities, SpecError> {
    let Sets { bounding, ambient } = sets(security)?;
    LinuxCapabilitiesBuilder::default()
        .bounding(bounding.clone())
        .effective(bounding.clone())
        .permitted(bounding)
        .inheritable(ambient.clone())
        .ambient(ambient)
        .build()
        .map_err(builder)
}

/// Every capability that a process of the container can come to hold, by full name (`CAP_NET_ADMIN`), sorted: the
/// bounding set, which neither an exec nor a file's capabilities leave.
pub(crate) fn held(security: &cri::LinuxContainerSecurityContext) -> Result<Vec<String>, SpecError> {
    let mut names: Vec<String> = sets(security)?.bounding.iter().map(|c| full_name(&c.to_string())).collect();
    names.sort();
    Ok(names)
}

struct Sets {
    bounding: HashSet<Capability>,
    ambient: HashSet<Capability>,
}

fn sets(security: &cri::LinuxContainerSecurityContext) -> Result<Sets, SpecError> {
    let asked = security.capabilities.clone().unwrap_or_default();
    let mut set: HashSet<Capability> = if security.privileged { ALL.into() } else { DEFAULT.into() };
    if all(&asked.add_capabilities) {
        set.extend(ALL);
    }
    if all(&asked.drop_capabilities) {
        set.clear();
    }
    for name in asked.add_capabilities.iter().filter(|n| !is_all(n)) {
        set.insert(parse("add_capabilities", name)?);
    }
    for name in asked.drop_capabilities.iter().filter(|n| !is_all(n)) {
        set.remove(&parse("drop_capabilities", name)?);
    }
    let mut ambient = HashSet::new();
    for name in &asked.add_ambient_capabilities {
        ambient.insert(parse("add_ambient_capabilities", name)?);
    }
    set.extend(ambient.iter().copied());
    Ok(Sets { bounding: set, ambient })
}

fn all(names: &[String]) -> bool {
    names.iter().any(|n| is_all(n))
}

fn is_all(name: &str) -> bool {
    name.eq_ignore_ascii_case("ALL")
}

fn full_name(name: &str) -> String {
    let upper = name.to_ascii_uppercase();
    if upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") }
}

fn parse(list: &str, name: &str) -> Result<Capability, SpecError> {
    // By its OCI form, which is complete; the crate's `FromStr` takes the short names only.
    serde_json::from_value(full_name(name).into()).map_err(|_| {
        SpecError::new(format!("linux.security_context.capabilities.{list}"), format!("unknown capability {name:?}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(add: &[&str], drop: &[&str]) -> cri::LinuxContainerSecurityContext {
        let list = |names: &[&str]| names.iter().map(|n| n.to_string()).collect();
        cri::LinuxContainerSecurityContext {
            capabilities: Some(cri::Capability {
                add_capabilities: list(add),
                drop_capabilities: list(drop),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    fn bounding(security: &cri::LinuxContainerSecurityContext) -> HashSet<Capability> {
        capabilities(security).unwrap().bounding().clone().unwrap()
    }

    #[test]
    fn dropping_all_leaves_only_what_is_added() {
        assert_eq!(bounding(&with(&["NET_ADMIN"], &["ALL"])), HashSet::from([Capability::NetAdmin]));
    }

    #[test]
    fn a_dropped_default_is_gone_and_the_rest_stays() {
        let set = bounding(&with(&[], &["cap_net_raw"]));
        assert!(!set.contains(&Capability::NetRaw) && set.len() == DEFAULT.len() - 1);
    }

    #[test]
    fn every_capability_is_known_by_its_names() {
        for (long, short) in [("CAP_SYS_PTRACE", "SYS_PTRACE"), ("CAP_NET_ADMIN", "net_admin"), ("CAP_BPF", "BPF")] {
            assert_eq!(bounding(&with(&[long], &["ALL"])), bounding(&with(&[short], &["ALL"])));
        }
        let names = held(&with(&["ALL"], &[])).unwrap();
        assert_eq!(names.iter().map(|n| parse("add_capabilities", n).unwrap()).collect::<HashSet<_>>(), ALL.into());
    }

    #[test]
    fn an_unknown_name_is_refused_by_name() {
        let error = capabilities(&with(&["FLY"], &[])).unwrap_err();
        assert!(error.to_string().contains("\"FLY\""), "{error}");
    }

    #[test]
    fn what_is_held_is_told_by_full_names_after_all_that_was_added_and_dropped() {
        assert_eq!(held(&with(&["net_admin"], &["ALL"])).unwrap(), ["CAP_NET_ADMIN"]);
        assert_eq!(held(&with(&["SYS_ADMIN"], &["ALL", "CAP_SYS_ADMIN"])).unwrap(), [""; 0]);
        let all = held(&with(&["ALL"], &["SYS_ADMIN"])).unwrap();
        assert!(all.contains(&"CAP_BPF".to_string()) && !all.contains(&"CAP_SYS_ADMIN".to_string()));
        let mut ambient = with(&[], &["ALL"]);
        ambient.capabilities.as_mut().unwrap().add_ambient_capabilities = vec!["SYS_TIME".into()];
        assert_eq!(held(&ambient).unwrap(), ["CAP_SYS_TIME"]);
    }
}
