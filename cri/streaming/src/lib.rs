//! The streaming server: exec, attach and port-forward over SPDY/3.1.
//!
//! A CRI call leaves its request at the [`StreamServer`] and gets a URL with a token that is good for one connection.
//! kubelet (or crictl) connects there, upgrades to SPDY and opens the streams; the server hands them to the
//! [`StreamBackend`] and reports how it ended.

mod api;
mod http1;
mod negotiate;
mod portforward;
mod remote;
mod resize;
mod server;
#[doc(hidden)]
pub mod spdy;
mod state;
mod status;
mod tokens;

pub use api::{
    AttachRequest, ExecRequest, ExitStatus, PortDuplex, PortForwardRequest, StreamBackend, StreamError, StreamIo,
    StreamReader, StreamWriter, TerminalSize,
};
pub use server::{StartError, StreamServer};
pub use tokens::UrlError;
