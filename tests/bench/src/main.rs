//! Benchmarks against containerd and the kernel's floor.

fn main() {}
