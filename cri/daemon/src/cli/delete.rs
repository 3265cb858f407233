//! `delete`: Pods, then policies, then Tenants and Namespaces. What is absent stays so.

use std::path::{Path, PathBuf};

use clap::Args;
use cofferdam_admin_api::v1::DeleteRequest;

use super::connect::Clients;
use super::error::CliError;
use super::input::{Step, read};
use super::outcome::{of_object, of_pod};
use super::output::print;
use super::pod::{self, Node, PodManifest};

/// Options of `delete`.
#[derive(Debug, Args)]
pub struct Command {
    /// A file, a directory (its *.yaml, *.yml and *.json), or - for standard input
    #[arg(short = 'f', long = "filename", required = true, value_name = "FILE|DIR")]
    files: Vec<PathBuf>,
    /// Seconds from SIGTERM to SIGKILL [default: the pod's, else 30]
    #[arg(long, value_name = "SECONDS")]
    grace_period: Option<u32>,
}

/// Runs it.
pub async fn run(command: Command, socket: &Path) -> Result<u8, CliError> {
    let input = read(&command.files)?;
    let mut clients = Clients::connect(socket).await?;
    if !input.pods.is_empty() {
        let node = Node::of(&mut clients).await?;
        // Together, since each takes its grace; one that fails stops no other.
        let deletes = input.pods.iter().map(|pod| {
            let (clients, node, grace) = (clients.clone(), &node, command.grace_period);
            async move { delete(clients, node, pod, grace).await }
        });
        futures::future::join_all(deletes).await.into_iter().collect::<Result<(), CliError>>()?;
    }
    for step in [Step::Policies, Step::Owners] {
        for file in input.files.iter().rev() {
            let Some(yaml) = file.yaml(step) else { continue };
            let request = DeleteRequest { yaml, file_name: file.name.clone() };
            let answer = clients.admin.delete(request).await?.into_inner();
            answer.objects.iter().try_for_each(|o| print(&of_object(o)))?;
        }
    }
    Ok(0)
}

async fn delete(mut clients: Clients, node: &Node, pod: &PodManifest, grace: Option<u32>) -> Result<(), CliError> {
    let outcome = pod::delete(&mut clients, node, pod.namespace(), &pod.metadata.name, grace).await?;
    print(&format!("pod {pod} {}", of_pod(outcome)))
}
