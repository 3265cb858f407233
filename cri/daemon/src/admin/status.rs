//! Status.

use std::time::UNIX_EPOCH;

use cofferdam_admin_api::v1::{Condition, StatusResponse};
use cofferdam_netpolicy::PolicySource as _;
use serde_json::Value;

use crate::config::without_effect;
use crate::daemon::Daemon;

pub fn status(daemon: &Daemon) -> StatusResponse {
    let facts = daemon.runtime.node_details();
    let not_ready = facts["network"].as_str().or(facts["policy"].as_str());
    let started = daemon.started.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let texts = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
    };
    let handlers = facts["handlers"].as_array().cloned().unwrap_or_default();
    let name = |handler: &Value| handler["handler"].as_str().unwrap_or_default().to_owned();
    let mut degraded = texts(&facts["degraded"]);
    degraded.extend(daemon.vms.degraded());
    degraded.extend(without_effect(&daemon.config));
    for handler in &handlers {
        if let Some(reason) = handler["unavailable"].as_str() {
            degraded.push(format!("no sandboxes of kind {}: {reason}", name(handler)));
        }
    }
    StatusResponse {
        version: env!("CARGO_PKG_VERSION").into(),
        pid: std::process::id(),
        started_at: i64::try_from(started).unwrap_or(i64::MAX),
        holder_pid: daemon.policy.backend.holder_pid().unwrap_or(0),
        conditions: vec![condition("RuntimeReady", "", None), condition("NetworkReady", "NetworkNotReady", not_ready)],
        degraded,
        runtime_handlers: handlers.iter().filter(|h| h["unavailable"].is_null()).map(name).collect(),
        ignored_files: daemon.policy.source.snapshots().borrow().facts.ignored_files.clone(),
        root: daemon.config.root.display().to_string(),
        state: daemon.config.state.display().to_string(),
        kubelet_roots: daemon.config.kubelet.root_dirs.iter().map(|dir| dir.display().to_string()).collect(),
    }
}

fn condition(name: &str, reason: &str, not_ready: Option<&str>) -> Condition {
    Condition {
        r#type: name.into(),
        status: not_ready.is_none(),
        reason: if not_ready.is_some() { reason.into() } else { String::new() },
        message: not_ready.unwrap_or_default().into(),
    }
}
