//! End-to-end tests with the real clients: what their files share.
//!
//! A test that holds for both kinds of sandbox is a function of [`Kind`] with one `#[test]` for each; see `tests/`.

mod pods;
mod traffic;

pub use pods::{Kind, Running, daemon, run, sleeper, web};
pub use traffic::{Reach, matrix, reach};
