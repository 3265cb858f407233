//! Registries: where they are, how one logs in, what is asked of them.

mod answer;
mod auth;
mod challenge;
mod connection;
mod hosts;
mod hosts_file;
mod place;
mod repository;
mod tls;
mod token;

pub(crate) use answer::chain;
pub use auth::Auth;
pub(crate) use hosts::endpoints;
pub(crate) use hosts_file::parse as parse_hosts;
pub(crate) use repository::{Repository, Resolved, join};
