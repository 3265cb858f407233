//! What the images are made of, one file a set.

pub mod base;
pub mod cluster;
pub mod critest;
mod parts;
mod upstream;

use crate::set::ImageSet;

/// Every set.
pub const SETS: [&ImageSet; 3] = [&base::SET, &critest::SET, &cluster::SET];
