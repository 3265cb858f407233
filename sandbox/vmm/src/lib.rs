//! The VMM behind a VM sandbox: QEMU and virtiofsd as the shim runs them.
