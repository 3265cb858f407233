//! What a backend is: it does what requesters ask.

use std::os::fd::OwnedFd;

use cofferdam_pod_api::{Body, Op, PodError};

use super::context::{Context, Origin};
use super::reactor::{Ready, Token};

/// Does what requesters ask. Answers are given through the context, at once or later.
pub(crate) trait Backend {
    /// One operation.
    fn request(&mut self, cx: &mut Context, origin: Origin, op: Op, fds: Vec<OwnedFd>);

    /// A frame of a stream or of the log. An error ends the connection: the peer broke the protocol.
    fn frame(&mut self, cx: &mut Context, connection: u32, body: Body) -> Result<(), PodError>;

    /// A descriptor of the backend's own is ready.
    fn ready(&mut self, cx: &mut Context, token: Token, ready: Ready);

    /// A child of this process ended.
    fn reaped(&mut self, cx: &mut Context, pid: u32, code: i32);

    /// A connection is over, and its streams with it.
    fn disconnected(&mut self, cx: &mut Context, connection: u32);

    /// The time that was asked for by `Context::wake` has come.
    fn timeout(&mut self, _cx: &mut Context) {}
}
