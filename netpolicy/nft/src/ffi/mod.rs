//! The only unsafe code of the policy engine: libnftnl objects behind safe values.
//!
//! Tables, chains, rules and the expressions that it has come from the crate `nftnl`. What it lacks is made here with
//! `nftnl-sys`: flags of tables, sets with concatenated keys and verdicts, loads into any register, ranges, inverted
//! lookups, logs, and everything that reads.
//!
//! Rules of the library that the wrappers keep, because it checks none of them:
//! * messages are written without bounds: each builder refuses what could exceed [`Scratch`], see the limits in
//!   `library`;
//! * an attribute set with a value of another type corrupts memory: attributes are private to this folder;
//! * data longer than 64 bytes overruns a register: [`reg_data`](library::reg_data) refuses it;
//! * an expression added to a rule, or an element to a set, is freed with it.
#![allow(unsafe_code)]

mod expr;
mod library;
mod object;
mod read;
mod rule;
mod set;

pub use expr::NativeExpr;
pub use library::{Header, Invalid, MAX_DATA, Scratch, name};
pub use object::{chain, rule_list, table, table_handle};
pub use read::{ReadChain, ReadElement, ReadRule, ReadSet, ReadTable};
pub use rule::{NativeRule, bitwise, cmp};
pub use set::{NativeElement, NativeSet, Shape};
