//! Cgroups as whoever starts and ends processes uses them: which hierarchies a machine has, and one cgroup made,
//! joined, killed and removed in all of them. Limits are the container runner's business.

mod hierarchy;
mod joining;
mod tree;

pub use hierarchy::{Hierarchy, mounted};
pub use joining::{Joining, join};
pub use tree::{hierarchies, kill, make, pod_hierarchies, processes, remove, remove_tree};
