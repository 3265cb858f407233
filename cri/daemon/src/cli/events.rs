//! `events`: what happens to pods and containers, as it happens.

use std::collections::HashMap;

use cofferdam_cri_api::v1 as cri;
use serde::Serialize;

use super::connect::Clients;
use super::error::CliError;
use super::output::{Format, print, short, time};

/// A line a event; in JSON each is an object on a line, in YAML a document.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct View {
    time: String,
    event: &'static str,
    /// Of the container, or of the sandbox itself.
    id: String,
    namespace: String,
    pod: String,
    container: Option<String>,
    exit_code: Option<i32>,
}

impl From<cri::ContainerEventResponse> for View {
    fn from(event: cri::ContainerEventResponse) -> Self {
        let metadata = event.pod_sandbox_status.as_ref().and_then(|s| s.metadata.clone()).unwrap_or_default();
        let container = event.containers_statuses.iter().find(|c| c.id == event.container_id);
        let kind = event.container_event_type();
        let ended = kind == cri::ContainerEventType::ContainerStoppedEvent;
        View {
            time: time(event.created_at),
            event: match kind {
                cri::ContainerEventType::ContainerCreatedEvent => "created",
                cri::ContainerEventType::ContainerStartedEvent => "started",
                cri::ContainerEventType::ContainerStoppedEvent => "stopped",
                cri::ContainerEventType::ContainerDeletedEvent => "deleted",
            },
            container: container.and_then(|c| c.metadata.as_ref()).map(|m| m.name.clone()),
            exit_code: container.filter(|_| ended).map(|c| c.exit_code),
            id: event.container_id,
            namespace: metadata.namespace,
            pod: metadata.name,
        }
    }
}

/// Names by id. What is deleted is told by its id alone, since nothing else is left of it.
#[derive(Default)]
struct Names(HashMap<String, (String, String, Option<String>)>);

impl Names {
    /// Learns from what an event tells, and fills in what it does not.
    fn complete(&mut self, view: &mut View) {
        if view.event != "deleted" {
            let names = (view.namespace.clone(), view.pod.clone(), view.container.clone());
            self.0.insert(view.id.clone(), names);
        } else if let Some((namespace, pod, container)) = self.0.remove(&view.id) {
            (view.namespace, view.pod, view.container) = (namespace, pod, container);
        }
    }
}

impl View {
    fn line(&self) -> String {
        let container = self.container.as_ref().map(|c| format!(" {c}")).unwrap_or_default();
        let code = self.exit_code.map(|code| format!(" (exit {code})")).unwrap_or_default();
        // Of a pod that was there before this program only the id is known at its end.
        let pod = if self.pod.is_empty() { "-".to_owned() } else { format!("{}/{}", self.namespace, self.pod) };
        format!("{} {} {pod}{container}{code} {}", self.time, self.event, short(&self.id))
    }
}

/// Runs it until the daemon ends.
pub async fn run(mut clients: Clients, format: Format) -> Result<u8, CliError> {
    let mut events = clients.runtime.get_container_events(cri::GetEventsRequest {}).await?.into_inner();
    let mut names = Names::default();
    while let Some(event) = events.message().await? {
        let mut view = View::from(event);
        names.complete(&mut view);
        let failed = |e: &dyn std::fmt::Display| CliError::Output(e.to_string());
        print(&match format {
            Format::Table => view.line(),
            Format::Json => serde_json::to_string(&view).map_err(|e| failed(&e))?,
            Format::Yaml => format!("---\n{}", serde_saphyr::to_string(&view).map_err(|e| failed(&e))?),
        })?;
    }
    Err(CliError::Other("the daemon has ended".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_container_tells_its_code() {
        let metadata = cri::PodSandboxMetadata { name: "web".into(), namespace: "acme".into(), ..Default::default() };
        let event = cri::ContainerEventResponse {
            container_id: "c1".into(),
            container_event_type: cri::ContainerEventType::ContainerStoppedEvent.into(),
            created_at: 0,
            pod_sandbox_status: Some(cri::PodSandboxStatus { metadata: Some(metadata), ..Default::default() }),
            containers_statuses: vec![cri::ContainerStatus {
                id: "c1".into(),
                metadata: Some(cri::ContainerMetadata { name: "c".into(), attempt: 0 }),
                exit_code: 3,
                ..Default::default()
            }],
        };
        assert_eq!(View::from(event).line(), "1970-01-01T00:00:00Z stopped acme/web c (exit 3) c1");
    }

    #[test]
    fn what_is_deleted_keeps_the_names_it_was_seen_with() {
        let view = |event, pod: &str| View {
            time: "T".into(),
            event,
            id: "s1".into(),
            namespace: if pod.is_empty() { String::new() } else { "acme".into() },
            pod: pod.into(),
            container: None,
            exit_code: None,
        };
        let mut names = Names::default();
        let mut lines = Vec::new();
        for mut view in [view("stopped", "web"), view("deleted", ""), view("deleted", "")] {
            names.complete(&mut view);
            lines.push(view.line());
        }
        assert_eq!(lines, ["T stopped acme/web s1", "T deleted acme/web s1", "T deleted - s1"]);
    }
}
