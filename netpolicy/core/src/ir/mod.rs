//! What the kernel is asked to do: one nftables table as typed values. Pure.
//!
//! The compiler builds a [`Ruleset`], [`crate::diff::diff`] compares it with the [`Snapshot`] of what the kernel holds, a
//! [`RuleBackend`](crate::backend::RuleBackend) applies the resulting [`Batch`](crate::diff::Batch) atomically.
//!
//! * Family is always `inet`. A match on `ip` or `ip6` fields does not imply the family: put
//!   `Expr::eq(Field::Nfproto, Value::U8(NFPROTO_IPV4))` (or a chain entered through one) before it; likewise `L4proto` before ports.
//! * Names of chains, sets and maps are the compiler's business; they should be content hashes (at most 31 bytes for sets, 255 for chains).
//!   A chain's rules are compared by digest and replaced as a whole; a set keeps its name and its elements change one by one.

mod expr;
mod set;
mod text;

pub use expr::{
    CmpOp, Expr, Field, NFPROTO_IPV4, NFPROTO_IPV6, Nat, Value, Verdict, ct_direction, ct_state, ct_status, fib_type,
    proto,
};
pub use set::{Element, Interval, KeyType, Set, SetKind};

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

/// A rule: expressions evaluated from left to right until one does not match.
pub type Rule = Vec<Expr>;

/// The digest of a chain's rules; written into the user data of each of its rules, so that reading back is cheap.
pub type Digest = [u8; 16];

/// Everything of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruleset {
    /// Name of the table (`cofferdam`), family `inet`.
    pub table: String,
    /// Chains by name. Shared, so that an unchanged chain costs nothing in the next ruleset.
    pub chains: BTreeMap<String, Arc<Chain>>,
    /// Sets and maps by name.
    pub sets: BTreeMap<String, Arc<Set>>,
}

impl Ruleset {
    /// An empty table.
    pub fn new(table: impl Into<String>) -> Self {
        Ruleset { table: table.into(), chains: BTreeMap::new(), sets: BTreeMap::new() }
    }

    /// Adds or replaces a chain.
    pub fn chain(&mut self, name: impl Into<String>, chain: Chain) {
        self.chains.insert(name.into(), Arc::new(chain));
    }

    /// Adds or replaces a set or map.
    pub fn set(&mut self, name: impl Into<String>, set: Set) {
        self.sets.insert(name.into(), Arc::new(set));
    }

    /// What the kernel holds after this ruleset is applied.
    pub fn snapshot(&self) -> Snapshot {
        let chains = self.chains.iter().map(|(name, chain)| (name.clone(), chain.seen())).collect();
        Snapshot { table: Some(self.table.clone()), chains, sets: self.sets.clone() }
    }
}

/// What the kernel holds: chains by digest, sets with their elements.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// `None` when the table does not exist.
    pub table: Option<String>,
    /// Chains by name.
    pub chains: BTreeMap<String, SeenChain>,
    /// Sets and maps by name.
    pub sets: BTreeMap<String, Arc<Set>>,
}

/// A chain as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenChain {
    /// Where it is hooked in, if it is.
    pub base: Option<Base>,
    /// Digest of its rules; `None` if somebody changed them or they are not ours.
    pub digest: Option<Digest>,
}

/// A chain and its rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    base: Option<Base>,
    rules: Vec<Rule>,
    digest: Digest,
}

impl Chain {
    /// A chain reached by jump, goto or a verdict map.
    pub fn regular(rules: Vec<Rule>) -> Self {
        Chain { base: None, digest: digest(&rules), rules }
    }

    /// A chain at a netfilter hook.
    pub fn base(base: Base, rules: Vec<Rule>) -> Self {
        Chain { base: Some(base), digest: digest(&rules), rules }
    }

    /// Where it is hooked in, if it is.
    pub fn hook(&self) -> Option<&Base> {
        self.base.as_ref()
    }

    /// Its rules, in order.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Digest of the rules.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The chain as a reader of the kernel sees it.
    pub fn seen(&self) -> SeenChain {
        SeenChain { base: self.base.clone(), digest: Some(self.digest) }
    }
}

/// Content hash of rules: the names of class chains are made of it, and reconciling compares it.
pub fn digest(rules: &[Rule]) -> Digest {
    let mut hash = Sha256::new();
    for rule in rules {
        // The derived Debug form is unambiguous and covers each field; it is the same in every run of one build. Another
        // build that prints differently only rewrites chains once at its start.
        hash.update(format!("{rule:?}\n").as_bytes());
    }
    let full = hash.finalize();
    let mut short = [0; 16];
    short.copy_from_slice(&full[..16]);
    short
}

/// Where a base chain stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// Filter or nat.
    pub kind: ChainKind,
    /// The netfilter hook.
    pub hook: Hook,
    /// Priority: lower runs first (filter is 0, dstnat -100, srcnat 100).
    pub priority: i32,
    /// What happens to a packet that no rule decides.
    pub policy: Policy,
}

/// Type of a base chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainKind {
    /// Accepts and drops.
    Filter,
    /// Sees the first packet of a flow only.
    Nat,
}

/// A netfilter hook of family inet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// Before routing.
    Prerouting,
    /// To this host.
    Input,
    /// Through this host.
    Forward,
    /// From this host.
    Output,
    /// After routing.
    Postrouting,
}

/// Policy of a base chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Lets pass.
    Accept,
    /// Drops.
    Drop,
}
