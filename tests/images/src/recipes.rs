//! What the images are made of, one file a set.

pub mod base;
pub mod critest;
mod parts;

use crate::set::ImageSet;

/// Every set.
pub const SETS: [&ImageSet; 2] = [&base::SET, &critest::SET];
