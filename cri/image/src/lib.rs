//! Images: pull, content store, unpack, snapshots, garbage collection.
