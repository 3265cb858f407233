//! The daemon's own log: lines on standard error; its level can change while it runs.

use anyhow::Context as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

use crate::config::{Log, log_filter};

/// Changes the level of a log that has begun.
pub struct Handle(reload::Handle<EnvFilter, Registry>);

/// Begins to log.
///
/// # Errors
/// `[log] level` is no filter.
pub fn start(config: &Log) -> anyhow::Result<Handle> {
    let (filter, handle) = reload::Layer::new(log_filter(config)?);
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(false).with_target(false);
    tracing_subscriber::registry().with(filter).with(lines).try_init().context("start the log")?;
    Ok(Handle(handle))
}

impl Handle {
    /// Another level from now on.
    ///
    /// # Errors
    /// As for [`start`].
    pub fn set(&self, config: &Log) -> anyhow::Result<()> {
        self.0.reload(log_filter(config)?).context("change the log's level")
    }
}
