//! The pod protocol between daemon, shim and agent: messages and framing.
