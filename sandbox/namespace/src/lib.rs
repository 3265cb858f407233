//! The namespace sandbox.
