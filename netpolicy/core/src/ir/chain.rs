//! Chains of rules.

use sha2::{Digest as _, Sha256};

use super::expr::Expr;

/// A rule: expressions evaluated from left to right until one does not match.
pub type Rule = Vec<Expr>;

/// The digest of a chain's rules; written into the user data of each of its rules, so that reading back is cheap.
pub type Digest = [u8; 16];

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
        // The derived Debug form is unambiguous and covers each field; it is the same in every run of one build.
        // Another build that prints differently only rewrites chains once at its start.
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
    pub policy: ChainPolicy,
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

/// What happens to a packet that no rule of a base chain decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainPolicy {
    /// Lets pass.
    Accept,
    /// Drops.
    Drop,
}
