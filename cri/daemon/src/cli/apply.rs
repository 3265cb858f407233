//! `apply`: Namespaces and Tenants, then policies, then Pods.

use std::path::{Path, PathBuf};

use clap::Args;
use cofferdam_admin_api::v1::{ApplyRequest, ObjectOutcome, Outcome};

use super::connect::Clients;
use super::error::CliError;
use super::input::{Step, read};
use super::output::print;
use super::pod::{self, Node, PodManifest};

/// Options of `apply`.
#[derive(Debug, Args)]
pub struct Command {
    /// A file, a directory (its *.yaml, *.yml and *.json), or - for standard input
    #[arg(short = 'f', long = "filename", required = true, value_name = "FILE|DIR")]
    files: Vec<PathBuf>,
}

/// Runs it. Everything is checked before the daemon is asked for anything.
pub async fn run(command: Command, socket: &Path) -> Result<u8, CliError> {
    let input = read(&command.files)?;
    let mut clients = Clients::connect(socket).await?;
    for step in [Step::Owners, Step::Policies] {
        for file in &input.files {
            let Some(yaml) = file.yaml(step) else { continue };
            let request = ApplyRequest { yaml, file_name: file.name.clone() };
            let answer = clients.admin.apply(request).await?.into_inner();
            answer.objects.iter().try_for_each(|o| print(&line(o)))?;
        }
    }
    if input.pods.is_empty() {
        return Ok(0);
    }
    let node = Node::of(&mut clients).await?;
    for pod in &input.pods {
        let outcome = pod::run(&mut clients, &node, pod).await?;
        print(&format!("pod {pod} {}", said(outcome)))?;
    }
    if let Some(note) = note(&input.pods) {
        eprintln!("{note}");
    }
    Ok(0)
}

/// A line for a pod's outcome.
pub fn said(outcome: pod::Outcome) -> &'static str {
    match outcome {
        pod::Outcome::Created => "created",
        pod::Outcome::Unchanged => "unchanged",
        pod::Outcome::Deleted => "deleted",
        pod::Outcome::Absent => "absent",
    }
}

/// A line for an object's outcome.
pub fn line(object: &ObjectOutcome) -> String {
    let what = match object.outcome() {
        Outcome::Created => "created",
        Outcome::Changed => "changed",
        Outcome::Unchanged => "unchanged",
        Outcome::Deleted => "deleted",
        Outcome::Absent => "absent",
        Outcome::Unspecified => "done",
    };
    let of = object.object.clone().unwrap_or_default();
    let name = if of.namespace.is_empty() { of.name } else { format!("{}/{}", of.namespace, of.name) };
    format!("{} {name} {what}", of.kind.to_lowercase())
}

/// kubelet restarts containers; here there is none, and that is said rather than passed over.
fn note(pods: &[PodManifest]) -> Option<String> {
    let wishes = |p: &&PodManifest| p.spec.restart_policy != pod::RestartPolicy::Never;
    let names: Vec<String> = pods.iter().filter(wishes).map(PodManifest::to_string).collect();
    let names = (!names.is_empty()).then(|| names.join(", "))?;
    Some(format!(
        "note: nothing restarts containers that end, since no kubelet runs these pods (restartPolicy of {names})"
    ))
}

#[cfg(test)]
mod tests {
    use cofferdam_admin_api::v1::ObjectRef;

    use super::*;

    #[test]
    fn a_restart_policy_that_nobody_follows_is_said() {
        let pod = |policy: &str| {
            let text = format!(
                "apiVersion: v1\nkind: Pod\nmetadata: {{name: a}}\nspec: {{{policy}containers: [{{name: c, image: i}}]}}"
            );
            pod::parse_pod("f", 1, &text).unwrap()
        };
        assert!(note(&[pod("")]).unwrap().contains("default/a"));
        assert!(note(&[pod("restartPolicy: OnFailure, ")]).is_some());
        assert!(note(&[pod("restartPolicy: Never, ")]).is_none());
    }

    #[test]
    fn an_object_is_named_with_its_namespace_if_it_has_one() {
        let object = |namespace: &str| ObjectOutcome {
            object: Some(ObjectRef { kind: "NetworkPolicy".into(), namespace: namespace.into(), name: "n".into() }),
            outcome: Outcome::Created.into(),
            path: String::new(),
        };
        assert_eq!(line(&object("acme")), "networkpolicy acme/n created");
        assert_eq!(line(&object("")), "networkpolicy n created");
    }
}
