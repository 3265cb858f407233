//! Images: pull, content store, unpack, snapshots, garbage collection.
//!
//! ```text
//!  registry (mirrors) -> ingest file, hash -> confined child unpacks -> ROOT/layers/DIFFID -> metadata
//! ```
//! Layers are synced and in place before the metadata that names them is written, and removed after it. So at any
//! moment a kill leaves at most files that nobody names; the next start removes them.
//!
//! | path below the root | what |
//! |---|---|
//! | `blobs/HEX` | configs of images |
//! | `ingest/HEX` | compressed layers being fetched, resumable, kept for a day |
//! | `layers/HEX/` | unpacked layers by diff id, lower directories of an overlay |
//! | `layers/.new-*`, `layers/.old-*` | being unpacked, being removed |
//! | `images.json` | which names and digests mean which image |
//! | `snapshots/CONTAINER/{layers.json,upper,work}` | writable layers |
//!
//! An image's id is the digest of its config, everywhere.

mod archive;
mod auth;
mod child;
mod confine;
mod decode;
mod download;
mod endpoint;
mod entry;
mod error;
mod files;
mod flights;
#[doc(hidden)]
pub mod fuzzing;
mod hosts;
mod layer;
mod manifest;
mod metadata;
mod names;
mod pax;
mod pull;
mod registry;
mod service;
mod snapshot;
mod state;
mod stream;
mod tree;
mod tree_ops;
mod unpack;
mod usage;

pub use archive::Loaded;
pub use auth::Auth;
pub use child::unpack_main;
pub use error::ImageError;
pub use metadata::ImageRecord;
pub use service::{ImageConfig, ImageService, PulledImage};
pub use snapshot::Rootfs;
pub use unpack::{Helper, Limits};
pub use usage::Usage;
