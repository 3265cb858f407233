//! The durable state of the daemon: redb tables and their in-memory snapshots.
