//! Test images: small, reproducible, made from Debian packages only.
//!
//! [`recipes`] says what is in them, a set a suite; [`storage_of`] keeps a registry's directory that holds a set
//! outside the tree, [`Registry`] serves it on 127.0.0.1 of any network namespace. Nothing is fetched once the cache is
//! warm.

pub mod archive;
pub mod debian;
pub mod image;
pub mod layer;
pub mod push;
pub mod recipes;
mod registry;
mod set;
mod storage;

pub use recipes::SETS;
pub use registry::{Registry, dies_with_parent};
pub use set::{ImageSet, Named};
pub use storage::{cache_dir, copy_storage, corrupt_blob, storage, storage_of};
