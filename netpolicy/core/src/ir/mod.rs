//! What the kernel is asked to do: one nftables table as typed values. Pure.
//!
//! The compiler builds a [`Ruleset`], [`crate::diff::diff`] compares it with the [`Snapshot`] of what the kernel holds,
//! a [`RuleBackend`](crate::backend::RuleBackend) applies the resulting [`Batch`](crate::diff::Batch) atomically.
//!
//! * Family is always `inet`. A match on `ip` or `ip6` fields does not imply the family: put `Expr::eq(Field::Nfproto,
//!   Value::U8(NFPROTO_IPV4))` (or a chain entered through one) before it; likewise `L4proto` before ports.
//! * Names of chains, sets and maps are the compiler's business; they should be content hashes (at most 31 bytes for
//!   sets, 255 for chains). A chain's rules are compared by digest and replaced as a whole; a set keeps its name and
//!   its elements change one by one.

mod chain;
mod expr;
mod ruleset;
mod set;
mod text;

pub use chain::{Base, Chain, ChainKind, ChainPolicy, Digest, Hook, Rule, SeenChain, digest};
pub use expr::{
    CmpOp, Expr, Field, NFPROTO_IPV4, NFPROTO_IPV6, Nat, PacketVerdict, Value, ct_direction, ct_state, ct_status,
    fib_type, proto,
};
pub use ruleset::{Ruleset, Snapshot};
pub use set::{Element, Interval, KeyType, Set, SetKind};
