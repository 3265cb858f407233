//! `exec`: a command in a container; its exit code is this program's.

mod session;
mod stream;
mod terminal;
mod upgrade;

use std::io::Write as _;

use clap::Args;
use cofferdam_cri_api::v1 as cri;

use super::connect::Clients;
use super::error::CliError;
use super::target::{PodName, container};

/// Options of `exec`.
#[derive(Debug, Args)]
pub struct Command {
    /// Pass standard input to the command
    #[arg(short = 'i', long)]
    stdin: bool,
    /// Give the command a terminal
    #[arg(short = 't', long)]
    tty: bool,
    /// Which container, if the pod has several
    #[arg(short, long, value_name = "CONTAINER")]
    container: Option<String>,
    /// The pod
    #[arg(value_name = "NS/POD")]
    pod: PodName,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<String>,
}

/// Runs it; the exit code is the command's.
pub async fn run(mut clients: Clients, command: Command) -> Result<u8, CliError> {
    let found = container(&mut clients, &command.pod, command.container.as_deref()).await?;
    if command.stdin || command.tty {
        return interactive(clients, command, found.id).await;
    }
    let request = cri::ExecSyncRequest { container_id: found.id, cmd: command.command, timeout: 0 };
    let answer = clients.runtime.exec_sync(request).await?.into_inner();
    let failed = |e: std::io::Error| CliError::Output(e.to_string());
    std::io::stdout().write_all(&answer.stdout).map_err(failed)?;
    std::io::stdout().flush().map_err(failed)?;
    std::io::stderr().write_all(&answer.stderr).map_err(failed)?;
    Ok(code(answer.exit_code))
}

async fn interactive(mut clients: Clients, command: Command, container_id: String) -> Result<u8, CliError> {
    let request = cri::ExecRequest {
        container_id,
        cmd: command.command,
        tty: command.tty,
        stdin: command.stdin,
        stdout: true,
        // A terminal has one output.
        stderr: !command.tty,
    };
    let url = clients.runtime.exec(request).await?.into_inner().url;
    let connection = upgrade::connect(&url).await?;
    let raw = if command.tty && command.stdin { terminal::Raw::enter()? } else { None };
    let ended = stream::run(connection, command.stdin, command.tty).await;
    drop(raw);
    ended.map(code)
}

/// An exit code has a byte; what is none was no ordinary end.
fn code(code: i32) -> u8 {
    u8::try_from(code).unwrap_or(1)
}
