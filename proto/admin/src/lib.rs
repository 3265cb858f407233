//! The admin service of the CLI: what CRI has no RPC for.
