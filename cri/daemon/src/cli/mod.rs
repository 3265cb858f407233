//! The command line: one file a command.

mod apply;
mod args;
mod config;
mod connect;
mod delete;
mod error;
mod events;
mod exec;
mod image;
mod input;
mod logs;
mod outcome;
mod output;
mod pod;
mod pods;
mod policy;
mod pull;
mod status;
mod target;
mod tenants;
mod top;
mod vm_image;

pub use args::{Cli, Plan};
