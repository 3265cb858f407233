//! Which ids of the node a pod's user namespace may map.
//!
//! A process with an id of the node's has that id's power over the node's files and processes, and two pods with one id
//! have it over each other: such a user namespace is none.

use std::fmt;

use crate::{HostAccess, Refusal, Tenant};

/// Ids below it are those of the node's own users; kubelet gives none of them to a pod either.
pub const FIRST_POD_ID: u32 = 65_536;

/// A range of ids of the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostIds {
    /// The first one.
    pub first: u32,
    /// How many.
    pub size: u32,
}

impl HostIds {
    /// Whether one of them belongs to the node's own users.
    pub fn touches_the_node(&self) -> bool {
        self.size > 0 && self.first < FIRST_POD_ID
    }

    fn meets(&self, other: &HostIds) -> bool {
        let end = |ids: &HostIds| u64::from(ids.first) + u64::from(ids.size);
        u64::from(self.first) < end(other) && u64::from(other.first) < end(self)
    }
}

impl fmt::Display for HostIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = (u64::from(self.first) + u64::from(self.size)).saturating_sub(1);
        write!(f, "{}-{last}", self.first)
    }
}

/// Whether a tenant may have a pod with a user namespace that maps these ids; `taken` are those of other pods.
///
/// # Errors
/// [`Refusal::HostAccess`], naming the range.
pub fn admit_user_namespace(tenant: &Tenant, asked: &[HostIds], taken: &[HostIds]) -> Result<(), Refusal> {
    if tenant.spec.host_access == HostAccess::Allowed {
        return Ok(());
    }
    let refuse = |what: String| Err(Refusal::HostAccess { tenant: tenant.name.clone(), what });
    for ids in asked {
        if ids.touches_the_node() {
            return refuse(format!(
                "user namespace with the host ids {ids}: those below {FIRST_POD_ID} are the node's own"
            ));
        }
        if let Some(other) = taken.iter().find(|other| other.meets(ids)) {
            return refuse(format!("user namespace with the host ids {ids}: {other} are another pod's"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TenantSpec;

    fn admit(first: u32, size: u32) -> Result<(), Refusal> {
        let tenant = Tenant { name: "blue".into(), spec: TenantSpec::default() };
        let taken = [HostIds { first: 131_072, size: 65_536 }];
        admit_user_namespace(&tenant, &[HostIds { first, size }], &taken)
    }

    #[test]
    fn ids_of_the_node_and_of_another_pod_are_refused_by_range() {
        assert_eq!(admit(65_536, 65_536), Ok(()));
        assert_eq!(admit(196_608, 65_536), Ok(()));
        for (first, size) in [(0, 65_536), (0, 1), (1000, 1), (65_535, 65_536)] {
            assert!(admit(first, size).unwrap_err().to_string().contains("the node's own"), "{first} {size}");
        }
        for (first, size) in [(131_072, 65_536), (131_071, 2), (196_607, 1), (65_536, 1 << 30)] {
            assert!(admit(first, size).unwrap_err().to_string().contains("another pod's"), "{first} {size}");
        }
    }

    #[test]
    fn who_may_have_the_host_may_map_it() {
        let spec = TenantSpec { host_access: HostAccess::Allowed, ..TenantSpec::default() };
        let ids = [HostIds { first: 0, size: 65_536 }];
        assert_eq!(admit_user_namespace(&Tenant { name: "system".into(), spec }, &ids, &ids), Ok(()));
    }
}
