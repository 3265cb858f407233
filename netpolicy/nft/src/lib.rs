//! The nftables backend: read, encode, apply one atomic batch.
//!
//! [`NftBackend`] owns the table through one netlink socket for life; [`holder`] keeps that socket open while no daemon
//! runs, so that the kernel's owner flag protects the table even then.

mod backend;
mod encode;
mod expr;
mod ffi;
mod foreign;
pub mod holder;
mod key;
mod mark;
mod read;
mod show;
mod socket;
mod watch;

pub use backend::NftBackend;
pub use holder::{HolderCommand, holder_main};
pub use watch::{Watch, watch};
