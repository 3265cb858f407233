//! What files take.

use std::path::Path;

use cofferdam_tree::{Seen, Size};
use serde::{Deserialize, Serialize};

/// Disk space and inodes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Bytes on disk.
    pub bytes: u64,
    /// Inodes.
    pub inodes: u64,
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Usage) {
        self.bytes += other.bytes;
        self.inodes += other.inodes;
    }
}

impl std::iter::Sum for Usage {
    fn sum<I: Iterator<Item = Usage>>(all: I) -> Usage {
        all.fold(Usage::default(), |mut sum, one| {
            sum += one;
            sum
        })
    }
}

/// Measures a directory that a container may be writing to. What could not be seen whole says so.
pub(crate) fn measure(path: &Path) -> (Usage, Seen) {
    let measured = std::fs::File::open(path).and_then(cofferdam_tree::measure);
    let (size, seen) = measured.unwrap_or((Size::default(), Seen::Torn));
    (Usage { bytes: size.bytes, inodes: size.inodes }, seen)
}
