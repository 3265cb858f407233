//! The nftables backend: read, encode, apply one atomic batch.
