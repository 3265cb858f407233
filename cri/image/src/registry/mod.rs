//! Registries: where they are, how one logs in, what is asked of them.

mod auth;
mod endpoint;
mod hosts;
mod repository;

pub use auth::Auth;
pub(crate) use endpoint::chain;
pub(crate) use hosts::{endpoints, parse as parse_hosts};
pub(crate) use repository::{Repository, join};
