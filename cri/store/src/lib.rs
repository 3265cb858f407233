//! The durable state of the daemon: redb tables and their in-memory snapshots.
//!
//! Readers never wait: they get an `Arc` of the last published record. Writers hand a change to one writer thread,
//! which gathers what has come meanwhile into one durable transaction and publishes it after the commit. So what a
//! client has been told survives `kill -9`, and many changes at once cost one fsync.
//!
//! Exits are the exception: they are published even if the disk is full (the shim's own record is durable), stay marked
//! dirty, and are written as soon as a commit succeeds again.

mod container;
mod disk;
mod encoded;
mod error;
mod sandbox;
mod store;
mod table;
mod writer;

pub use container::{ContainerEntry, ContainerName, ContainerPhase, Exit, NewContainer};
pub use disk::{Disk, File, Rows};
pub use encoded::Encoded;
pub use error::StoreError;
pub use sandbox::{PodName, SandboxEntry, SandboxPhase};
pub use store::Store;
pub use table::{Reader, Record, Table};
