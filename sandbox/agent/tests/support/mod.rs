//! A guest under emulation, and the requester at its ports.

pub mod client;
pub mod spec;
pub mod vm;
