//! What the command line of `serve` says.

use std::path::PathBuf;

use anyhow::Context as _;

use crate::config::{self, Config};

/// Flags, each over its key of the configuration.
#[derive(Debug, Clone, Default)]
pub struct ServeArgs {
    /// `--config`.
    pub config: Option<PathBuf>,
    /// `--root`.
    pub root: Option<PathBuf>,
    /// `--state`.
    pub state: Option<PathBuf>,
    /// `--socket`.
    pub socket: Option<PathBuf>,
}

impl ServeArgs {
    /// The configuration with what the command line overrides.
    pub fn load(&self) -> anyhow::Result<Config> {
        let mut config = config::load(self.config.as_deref())?;
        let flags = [
            ("--root", &self.root, &mut config.root),
            ("--state", &self.state, &mut config.state),
            ("--socket", &self.socket, &mut config.socket),
        ];
        for (flag, given, value) in flags {
            if let Some(path) = given {
                *value = std::path::absolute(path).with_context(|| format!("{flag} {}", path.display()))?;
            }
        }
        config::supported(&config)?;
        Ok(config)
    }
}
