//! What can be asked for.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use super::connect::Clients;
use super::error::CliError;
use super::output::ListArgs;
use super::{apply, config, delete, events, exec, image, logs, pods, policy, status, tenants, top, vm_image};
use crate::serve::ServeArgs;

/// Where the daemon listens unless told otherwise.
const SOCKET: &str = "/run/cofferdam/cofferdam.sock";

/// Cofferdam runs pods of tenants who do not trust each other.
#[derive(Debug, Parser)]
#[command(name = "cofferdam", version)]
pub struct Cli {
    /// The daemon's socket [default: /run/cofferdam/cofferdam.sock]
    #[arg(long, global = true, value_name = "PATH")]
    socket: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon
    Serve {
        /// Configuration; drop-ins are in FILE.d [default: /etc/cofferdam/config.toml]
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Images, writable layers and state
        #[arg(long, value_name = "DIR")]
        root: Option<PathBuf>,
        /// Run state
        #[arg(long, value_name = "DIR")]
        state: Option<PathBuf>,
    },
    #[command(flatten)]
    Client(ClientCommand),
}

#[derive(Debug, Subcommand)]
enum ClientCommand {
    /// Print and check the configuration
    #[command(subcommand)]
    Config(config::Command),
    /// Make the kernel and initramfs of VM sandboxes
    #[command(subcommand)]
    VmImage(vm_image::Command),
    /// Run pods, and write namespaces, tenants and policies into the source directory
    Apply(apply::Command),
    /// Remove what `apply` made; what is gone already is no error
    Delete(delete::Command),
    /// List pods
    Pods(ListArgs),
    /// Show a container's log
    Logs(logs::Command),
    /// Run a command in a container
    Exec(exec::Command),
    /// List tenants
    Tenants(ListArgs),
    /// Images
    #[command(subcommand)]
    Image(image::Command),
    /// Network policies
    #[command(subcommand)]
    Policy(policy::Command),
    /// The daemon's health and what this node lacks
    Status(ListArgs),
    /// Follow what happens to pods and containers
    Events(ListArgs),
    /// CPU and memory of containers
    Top(top::Command),
}

/// What to do, by which runtime it needs.
pub enum Plan {
    /// The daemon.
    Serve(ServeArgs),
    /// Anything else.
    Client(Client),
}

/// A command other than `serve`.
pub struct Client {
    socket: PathBuf,
    command: ClientCommand,
}

impl Cli {
    /// The daemon's socket may come from its config; a client has only the flag and the default.
    pub fn plan(self) -> Plan {
        match self.command {
            Command::Serve { config, root, state } => {
                Plan::Serve(ServeArgs { config, root, state, socket: self.socket })
            }
            Command::Client(command) => {
                Plan::Client(Client { socket: self.socket.unwrap_or_else(|| SOCKET.into()), command })
            }
        }
    }
}

impl Client {
    /// Runs it; the exit code.
    ///
    /// # Errors
    /// One line for people; the exit code is then 1.
    pub async fn run(self) -> Result<u8, CliError> {
        let socket = self.socket;
        let connect = || Clients::connect(&socket);
        match self.command {
            ClientCommand::Config(command) => config::run(command),
            ClientCommand::VmImage(command) => vm_image::run(command),
            ClientCommand::Policy(policy::Command::Check { files }) => policy::check(&files),
            ClientCommand::Apply(command) => apply::run(command, &socket).await,
            ClientCommand::Delete(command) => delete::run(command, &socket).await,
            ClientCommand::Pods(args) => pods::run(connect().await?, args.output).await,
            ClientCommand::Logs(command) => logs::run(connect().await?, command).await,
            ClientCommand::Exec(command) => exec::run(connect().await?, command).await,
            ClientCommand::Tenants(args) => tenants::run(connect().await?, args.output).await,
            ClientCommand::Image(command) => image::run(connect().await?, command).await,
            ClientCommand::Policy(command) => policy::run(connect().await?, command).await,
            ClientCommand::Status(args) => status::run(connect().await?, args.output).await,
            ClientCommand::Events(args) => events::run(connect().await?, args.output).await,
            ClientCommand::Top(command) => top::run(connect().await?, command).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_socket_may_stand_before_or_after_the_command() {
        for line in [["cofferdam", "--socket", "/s", "pods"], ["cofferdam", "pods", "--socket", "/s"]] {
            let Plan::Client(client) = Cli::try_parse_from(line).unwrap().plan() else { panic!("{line:?}") };
            assert_eq!(client.socket, PathBuf::from("/s"));
        }
        let serve = Cli::try_parse_from(["cofferdam", "serve", "--root", "/r", "--socket", "/s"]).unwrap().plan();
        assert!(matches!(serve, Plan::Serve(a) if a.socket == Some("/s".into()) && a.root == Some("/r".into())));
    }

    #[test]
    fn the_command_of_exec_is_not_read_as_options() {
        let line = ["cofferdam", "exec", "-c", "web", "acme/web", "--", "ls", "-o", "--socket"];
        assert!(Cli::try_parse_from(line).is_ok());
    }
}
