//! The runner against the kernel.

fn main() {}
