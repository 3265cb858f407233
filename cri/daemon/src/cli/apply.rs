//! `apply`: Namespaces and Tenants, then policies, then Pods.

use std::path::{Path, PathBuf};

use clap::Args;
use cofferdam_admin_api::v1::ApplyRequest;

use super::connect::Clients;
use super::error::CliError;
use super::input::{Step, read};
use super::outcome::{of_object, of_pod};
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
            answer.objects.iter().try_for_each(|o| print(&of_object(o)))?;
        }
    }
    if input.pods.is_empty() {
        return Ok(0);
    }
    let node = Node::of(&mut clients).await?;
    for pod in &input.pods {
        let outcome = pod::run(&mut clients, &node, pod).await?;
        print(&format!("pod {pod} {}", of_pod(outcome)))?;
    }
    if let Some(note) = note(&input.pods) {
        eprintln!("{note}");
    }
    Ok(0)
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
}
