//! PID 1 of the guest: runs the containers of a VM pod.

fn main() {}
