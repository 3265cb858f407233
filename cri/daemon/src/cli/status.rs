//! `status`.

use cofferdam_admin_api::v1::{Condition, StatusRequest, StatusResponse};
use serde::Serialize;

use super::connect::Clients;
use super::error::CliError;
use super::output::{Format, Show, age, show, time};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct View {
    version: String,
    pid: u32,
    started_at: String,
    holder_pid: Option<u32>,
    conditions: Vec<ConditionView>,
    degraded: Vec<String>,
    runtime_handlers: Vec<String>,
    ignored_files: Vec<String>,
    root: String,
    state: String,
    #[serde(skip)]
    started: i64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ConditionView {
    r#type: String,
    status: bool,
    reason: String,
    message: String,
}

impl From<Condition> for ConditionView {
    fn from(c: Condition) -> Self {
        ConditionView { r#type: c.r#type, status: c.status, reason: c.reason, message: c.message }
    }
}

impl From<StatusResponse> for View {
    fn from(s: StatusResponse) -> Self {
        View {
            version: s.version,
            pid: s.pid,
            started_at: time(s.started_at),
            holder_pid: (s.holder_pid != 0).then_some(s.holder_pid),
            conditions: s.conditions.into_iter().map(ConditionView::from).collect(),
            degraded: s.degraded,
            runtime_handlers: s.runtime_handlers,
            ignored_files: s.ignored_files,
            root: s.root,
            state: s.state,
            started: s.started_at,
        }
    }
}

impl Show for View {
    fn text(&self) -> String {
        let holder = self.holder_pid.map_or("none".to_owned(), |pid| pid.to_string());
        // The default handler's name is empty.
        let handlers: Vec<&str> = self.runtime_handlers.iter().map(String::as_str).filter(|h| !h.is_empty()).collect();
        let mut lines = vec![
            format!("cofferdam {}, pid {}, up {}", self.version, self.pid, age(self.started)),
            format!("root {}, state {}", self.root, self.state),
            format!("handlers: {}", handlers.join(", ")),
            format!("policy table's holder: {holder}"),
        ];
        for c in &self.conditions {
            let why =
                [&c.reason, &c.message].into_iter().filter(|t| !t.is_empty()).cloned().collect::<Vec<_>>().join(": ");
            lines.push(format!("{}: {}{}", c.r#type, if c.status { "yes" } else { "no, " }, why));
        }
        lines.extend(self.degraded.iter().map(|what| format!("degraded: {what}")));
        lines.extend(self.ignored_files.iter().map(|file| format!("passed over: {file}")));
        lines.join("\n")
    }
}

/// Runs it.
pub async fn run(mut clients: Clients, format: Format) -> Result<u8, CliError> {
    let status = clients.admin.status(StatusRequest {}).await?.into_inner();
    show(&View::from(status), format)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_read_the_holder_and_what_is_degraded() {
        let of = |pid| View::from(StatusResponse { holder_pid: pid, degraded: vec!["a".into()], ..Default::default() });
        let json = serde_json::to_value(of(9)).unwrap();
        assert_eq!((json["holderPid"].as_u64(), json["degraded"][0].as_str()), (Some(9), Some("a")));
        assert!(serde_json::to_value(of(0)).unwrap()["holderPid"].is_null());
    }

    #[test]
    fn people_read_why_the_node_is_not_ready() {
        let network = Condition {
            r#type: "NetworkReady".into(),
            status: false,
            reason: "R".into(),
            message: "a.yaml:3: bad".into(),
        };
        let text = View::from(StatusResponse { conditions: vec![network], ..Default::default() }).text();
        assert!(text.contains("NetworkReady: no, R: a.yaml:3: bad"), "{text}");
    }
}
