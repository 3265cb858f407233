//! One a pod: holds the pod, outlives the daemon.

fn main() {}
