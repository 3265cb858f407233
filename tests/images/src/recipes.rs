//! What the images are made of, one file a set.

pub mod base;
pub mod critest;
mod parts;
