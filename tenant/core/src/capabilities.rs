//! Which capabilities stay within a pod that shares the node's kernel and user namespace.
//!
//! An allow-list: a capability that is not in it, or that a later kernel adds, counts as one that reaches the node.
//! docs/tenants.md has the reason for each.

/// What Docker and containerd give to every container, and IPC_LOCK (memory that is locked is still counted and limited
/// as the pod's) and IPC_OWNER (objects of the pod's own IPC namespace, since the node's is host access).
const WITHIN_A_POD: [&str; 16] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// Whether a capability (full name, `CAP_NET_ADMIN`) reaches further than the pod, in the node's user namespace.
pub fn reaches_the_node(capability: &str) -> bool {
    !WITHIN_A_POD.contains(&capability)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_thought_of_reaches_the_node() {
        assert!(reaches_the_node("CAP_DAC_READ_SEARCH") && reaches_the_node("CAP_FROM_THE_FUTURE"));
        assert!(reaches_the_node("cap_chown"), "names are compared as they are");
        assert!(!reaches_the_node("CAP_CHOWN"));
    }
}
