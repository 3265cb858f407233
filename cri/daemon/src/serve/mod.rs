//! The daemon: configuration -> node -> parts -> recovery -> serving -> drain.
//!
//! ```text
//!  load, refuse -> own root and state (locks, mounts) -> rules, network, images -> recover -> listen -> READY
//!   SIGHUP: reload what can be
//!   SIGTERM: drain; with no sandbox left take the table, the holder and the mount away
//! ```
//! This is the only place that knows implementations; everything else sees traits.

mod addresses;
mod args;
mod build;
mod cgroups;
mod deadline;
mod files;
mod http2;
mod image_seam;
mod images;
mod leave;
mod listen;
mod log;
mod node;
mod policy;
mod reaper;
mod reexec;
mod reload;
mod socket;
mod state_mount;

use std::sync::Arc;

use anyhow::Context as _;

use crate::config::without_effect;
use crate::daemon::Daemon;
use leave::leave;

pub use args::ServeArgs;
pub use reexec::reexec;

/// Runs the daemon until SIGTERM or SIGINT.
///
/// # Errors
/// Whatever makes serving impossible or unsafe; nothing serves then.
pub async fn run(args: ServeArgs) -> anyhow::Result<()> {
    let config = args.load()?;
    let log = log::start(&config.log)?;
    without_effect(&config).iter().for_each(|note| tracing::warn!("{note}"));
    let node = node::claim(&config)?;
    let mut ends = listen::Ends::new()?;
    reaper::start()?;
    let daemon = build::build(config.clone(), &node).await.inspect_err(|_| node.abandon(&config))?;
    let daemon = Arc::new(daemon);
    let serving = match start(&daemon).await {
        Ok(serving) => serving,
        Err(error) => {
            // With pods, their rules stay in force; without, nothing of the try is left.
            return Err(match leave(&daemon).await {
                Ok(()) => error,
                Err(left) => error.context(format!("{left:#}")),
            });
        }
    };
    loop {
        match ends.next().await {
            listen::Signal::Reload => reload::reload(&args, &daemon, &log).await,
            listen::Signal::End(signal) => {
                tracing::info!(signal, "ending");
                break;
            }
        }
    }
    // Nobody is there to be told of a failure.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    daemon.runtime.end_streams();
    serving.drain().await;
    socket::remove(&daemon.config.socket);
    leave(&daemon).await
}

/// From recovery to the first answer.
async fn start(daemon: &Arc<Daemon>) -> anyhow::Result<listen::Serving> {
    daemon.runtime.recover().await.context("recovery")?;
    let serving = listen::start(daemon).await?;
    sd_notify::notify(&[sd_notify::NotifyState::Ready]).context("notify systemd")?;
    tracing::info!(socket = %daemon.config.socket.display(), pid = std::process::id(), "serving");
    Ok(serving)
}
