//! The pod protocol's client: starts, adopts and talks to shims.
