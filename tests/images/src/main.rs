//! Builds the test images from Debian packages.

fn main() {}
