//! Why a command failed: one line that says what and where.

use std::io;
use std::path::{Path, PathBuf};

use cofferdam_netpolicy_watch::FileError;
use tonic::{Code, Status};

use crate::config::ConfigError;

/// The error of a command.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// Nobody listens.
    #[error("cannot connect to {socket}: {reason}; is `cofferdam serve` running? (--socket names another socket)")]
    Connect {
        /// The socket.
        socket: PathBuf,
        /// Why not.
        reason: io::Error,
    },
    /// The daemon's answer, with what was asked of it.
    #[error("{what}{}", answer(status))]
    Rpc {
        /// Empty, or what was done, with a colon.
        what: String,
        /// The answer.
        status: Box<Status>,
    },
    /// A manifest.
    #[error(transparent)]
    File(#[from] FileError),
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The guest image.
    #[error(transparent)]
    VmImage(#[from] cofferdam_vm::image::ImageError),
    /// A path.
    #[error("{path}: {reason}")]
    Io {
        /// The path.
        path: PathBuf,
        /// The cause.
        reason: io::Error,
    },
    /// Output that cannot be made.
    #[error("output: {0}")]
    Output(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl CliError {
    /// For `map_err`: a failure at a path.
    pub fn io(path: &Path) -> impl FnOnce(io::Error) -> CliError + use<> {
        let path = path.to_owned();
        move |reason| CliError::Io { path, reason }
    }

    /// For `map_err`: what was being done when the daemon said no.
    pub fn at(what: impl Into<String>) -> impl FnOnce(Status) -> CliError {
        let what = what.into() + ": ";
        move |status| CliError::Rpc { what, status: Box::new(status) }
    }
}

impl From<Status> for CliError {
    fn from(status: Status) -> Self {
        CliError::Rpc { what: String::new(), status: Box::new(status) }
    }
}

/// The daemon's own words; without any, or when it is not the daemon who speaks, the code.
fn answer(status: &Status) -> String {
    match (status.code(), status.message()) {
        (code, "") => format!("the daemon answered {code:?}"),
        // The connection ended: that is no answer.
        (Code::Unknown | Code::Cancelled, message) => format!("the daemon ended the call: {message}"),
        (_, message) => message.to_owned(),
    }
}
