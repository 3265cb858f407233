//! The CRI services: one file per RPC.
