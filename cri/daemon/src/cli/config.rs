//! `config default|show|check`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::error::CliError;
use super::output::print;
use crate::config::{Config, default_path, load, supported};

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
        Command::Check(args) => print(&check(args.config)?)?,
    }
    Ok(0)
}

/// What `serve` would refuse is refused here as well.
fn check(config: Option<PathBuf>) -> Result<String, CliError> {
    supported(&load(config.as_deref())?)?;
    let path = config.unwrap_or_else(default_path);
    Ok(if path.exists() {
        format!("{}: ok", path.display())
    } else {
        format!("ok: {} does not exist, so the defaults and its drop-ins hold", path.display())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_serve_refuses_does_not_pass_the_check() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.toml");
        std::fs::write(&file, "[cluster]\nsource = \"kubernetes\"\n").unwrap();
        let error = check(Some(file.clone())).unwrap_err().to_string();
        assert!(error.starts_with("cluster.source: "), "{error}");
        std::fs::write(&file, "[vm]\naccel = \"tcg\"\n").unwrap();
        assert_eq!(check(Some(file.clone())).unwrap(), format!("{}: ok", file.display()));
    }
}
