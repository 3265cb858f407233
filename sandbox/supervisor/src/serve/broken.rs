//! The server of a pod that could not be set up.

use std::os::fd::OwnedFd;

use cofferdam_pod_api::{Body, Op, PodError};

use super::backend::Backend;
use super::context::{Context, Origin};
use super::end::End;
use super::reactor::{Ready, Token};
use super::server::serve_on_socket;

/// Tells the first requester why this server could not be set up, then ends.
pub fn serve_broken(listener: OwnedFd, reason: &str) -> End {
    serve_on_socket(listener, &mut Broken, Some(reason))
}

struct Broken;

impl Backend for Broken {
    fn request(&mut self, _: &mut Context, _: Origin, _: Op, _: Vec<OwnedFd>) {}
    fn frame(&mut self, _: &mut Context, _: u32, _: Body) -> Result<(), PodError> {
        Ok(())
    }
    fn ready(&mut self, _: &mut Context, _: Token, _: Ready) {}
    fn reaped(&mut self, _: &mut Context, _: u32, _: i32) {}
    fn disconnected(&mut self, _: &mut Context, _: u32) {}
}
