//! The daemon and the CLI.

fn main() {}
