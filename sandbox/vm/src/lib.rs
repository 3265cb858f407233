//! The VM sandbox: sizes, shares, guest image.

pub mod image;
