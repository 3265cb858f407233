//! Pods.

use cofferdam_admin_api::v1::{Pod, PodsResponse};
use serde_json::Value;

use crate::daemon::Daemon;

pub fn pods(daemon: &Daemon) -> PodsResponse {
    PodsResponse { pods: daemon.runtime.pod_details().iter().map(pod).collect() }
}

/// From the object that CRI's verbose status shows as well.
fn pod(facts: &Value) -> Pod {
    let text = |key: &str| facts[key].as_str().unwrap_or_default().to_owned();
    let pid = |key: &str| facts[key].as_u64().and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0);
    let addresses = facts["addresses"].as_array().into_iter().flatten();
    Pod {
        id: text("id"),
        namespace: text("namespace"),
        name: text("name"),
        tenant: text("tenant"),
        sandbox: text("sandbox"),
        state: text("state"),
        shim_pid: pid("shimPid"),
        vmm_pid: pid("vmmPid"),
        virtiofsd_pid: pid("virtiofsdPid"),
        netns: text("netns"),
        created_at: facts["createdAt"].as_i64().unwrap_or(0),
        addresses: addresses.filter_map(|a| a.as_str().map(str::to_owned)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_without_a_vm_or_a_network_of_its_own_has_zeros_and_nothing() {
        let facts = serde_json::json!({
            "id": "a", "namespace": "n", "name": "p", "tenant": "t", "sandbox": "namespace", "state": "Ready",
            "shimPid": 7, "vmmPid": null, "virtiofsdPid": null, "netns": null, "createdAt": 5, "addresses": ["10.88.0.2"],
        });
        let pod = pod(&facts);
        assert_eq!((pod.shim_pid, pod.vmm_pid, pod.netns.as_str(), pod.created_at), (7, 0, "", 5));
        assert_eq!(pod.addresses, ["10.88.0.2"]);
    }
}
