//! System calls that need `unsafe`: clone3, namespaces, mounts, pidfd, ioctls.
