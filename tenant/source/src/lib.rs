//! Cluster objects from a directory of YAML files.
//!
//! [`Directory`] reads `*.yaml` and follows changes, [`edit`] checks and writes such files for the CLI. Namespaces,
//! Tenants and Pods are read here. Whoever keeps objects of other kinds in the same files names them by
//! [`ObjectKinds`]: they are read, checked, kept and published together with the facts, so that a snapshot never mixes
//! two states of a file.

mod changes;
mod config;
mod directory;
mod document;
pub mod edit;
mod kept;
mod kinds;
mod list;
mod listing;
mod load;
mod manifest;
mod merge;
mod object;
mod parse;
mod pod;

pub use config::SourceConfig;
pub use directory::{Directory, Refresher};
pub use document::{Document, FileError, documents};
pub use kinds::ObjectKinds;
pub use load::Loader;
pub use manifest::{Manifest, Metadata, TypeMeta};
pub use object::{Located, Object, ObjectKey};
pub use parse::parse;
