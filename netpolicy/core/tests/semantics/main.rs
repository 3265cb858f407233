//! What policies and tenants mean (docs/design/network-and-policy.md), asked of the evaluator and of the compiled rules
//! at the same time.
// A test that unwraps fails with the line it is about.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod agreement;
mod kernel;
mod kit;
mod packets;
mod policies;
mod prerouting;
mod scale;
mod size;
mod tenants;
