//! Unpacking a layer: the daemon starts a confined child, which reads the compressed tar and writes the tree.
//!
//! The child parses what a stranger wrote. It has the layer's directory as its root, no network and few capabilities,
//! and what it reports is checked.

mod child;
mod confine;
mod decode;
mod entry;
mod pax;
mod report;
mod sparse;
mod steps;
mod stream;
mod tree;
mod unpacker;

pub use child::unpack_main;
pub(crate) use decode::Decoder;
pub use report::Limits;
pub(crate) use report::Report;
pub(crate) use steps::path_of;
pub(crate) use stream::Stream;
pub use unpacker::Helper;
pub(crate) use unpacker::Unpacker;
