//! `config default|show|check`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::error::CliError;
use super::output::print;
use crate::config::{Config, default_path, load};

/// `config`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print every key with its default
    Default,
    /// Print the configuration in force: the file, its drop-ins and the defaults
    Show(FileArgs),
    /// Say whether the configuration can be used
    Check(FileArgs),
}

/// `--config`.
#[derive(Debug, Args)]
pub struct FileArgs {
    /// Configuration; drop-ins are in FILE.d [default: /etc/cofferdam/config.toml]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Runs it.
pub fn run(command: Command) -> Result<u8, CliError> {
    let text = |config: &Config| toml::to_string(config).map_err(|e| CliError::Output(e.to_string()));
    match command {
        Command::Default => print(&text(&Config::default())?)?,
        Command::Show(args) => print(&text(&load(args.config.as_deref())?)?)?,
        Command::Check(args) => {
            load(args.config.as_deref())?;
            print(&format!("{}: ok", args.config.unwrap_or_else(default_path).display()))?;
        }
    }
    Ok(0)
}
