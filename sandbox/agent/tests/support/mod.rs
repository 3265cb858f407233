//! A guest under emulation, and the requester at its ports.

pub mod link;
pub mod spec;
pub mod vm;
