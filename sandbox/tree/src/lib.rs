//! Trees of files that tenants made: walked, measured, copied and removed.
//!
//! A tenant decides how deep and how wide its tree is and what its names are. So nothing here recurses, goes by paths
//! below the tree's root, follows a link, or holds more than a few descriptors and a bounded amount of memory. All of
//! it blocks: it belongs on threads that may.

mod bin;
mod copy;
mod entries;
mod measure;
mod remove;
mod trash;
mod walk;

pub use copy::{Copied, copy, copy_metadata};
pub use measure::{Size, measure};
pub use remove::{remove, remove_at};
pub use trash::Trash;
pub use walk::{Seen, Visitor, walk};
