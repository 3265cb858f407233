//! One table as a whole: as it should be, and as the kernel holds it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::chain::{Chain, SeenChain};
use super::set::Set;

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
