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
//! | `implied/HEX` | of a layer, the directories that have no entry |
//! | `layers/.new-*` | being unpacked |
//! | `trash/` | being removed |
//! | `images.json` | which names and digests mean which image |
//! | `snapshots/CONTAINER/{layers.json,upper,work}` | writable layers |
//!
//! An image's id is the digest of its config, everywhere.

mod archive;
mod download;
mod error;
mod files;
mod flights;
#[doc(hidden)]
pub mod fuzzing;
mod layer;
mod manifest;
mod names;
mod pace;
mod pull;
mod registry;
mod rootfs;
mod service;
mod slots;
mod store;
mod unpack;
mod waits;

pub use archive::Loaded;
pub use error::ImageError;
pub use pull::PulledImage;
pub use registry::Auth;
pub use rootfs::Rootfs;
pub use service::{ImageConfig, ImageService};
pub use store::{ImageRecord, Usage};
pub use unpack::{Helper, Limits, unpack_main};
