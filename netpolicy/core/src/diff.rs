//! What has to change: from what the kernel holds to what it should hold, as one batch.
//!
//! Order inside a batch: new chains and sets, elements of plain sets, rules, elements of maps, then what goes, so that
//! nothing refers to what is not there yet and nothing is deleted while something refers to it. The kernel commits all
//! of it at one moment.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ir::{Base, Chain, Element, PacketVerdict, Ruleset, SeenChain, Set, SetKind, Snapshot};

/// Elements with their verdicts (maps only).
pub type Elements = BTreeMap<Element, Option<PacketVerdict>>;

/// One step of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Makes the table.
    AddTable,
    /// Deletes the table with all in it.
    DelTable,
    /// Makes an empty chain.
    AddChain(String, Option<Base>),
    /// Makes an empty set or map of this shape.
    AddSet(String, Set),
    /// Adds elements; the set gives the shape.
    AddElements(String, Set, Elements),
    /// Deletes elements.
    DelElements(String, Set, Elements),
    /// Deletes all rules of a chain.
    FlushChain(String),
    /// Appends the rules of this chain.
    AddRules(String, Arc<Chain>),
    /// Deletes an empty chain that nothing refers to.
    DelChain(String),
    /// Deletes a set that nothing refers to.
    DelSet(String),
}

/// Operations that the kernel applies at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The table that they change.
    pub table: String,
    /// What is done, in this order.
    pub ops: Vec<Op>,
}

impl Batch {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Deletes the table (the last sandbox is gone and the daemon ends).
    pub fn delete_table(table: impl Into<String>) -> Self {
        Batch { table: table.into(), ops: vec![Op::DelTable] }
    }
}

/// The batch that makes `current` into `desired`; empty when they are the same.
pub fn diff(current: &Snapshot, desired: &Ruleset) -> Batch {
    let mut ops = Vec::new();
    let empty = Snapshot::default();
    let current = match &current.table {
        Some(name) if *name == desired.table && reusable(current, desired) => current,
        Some(name) if *name == desired.table => {
            ops.extend([Op::DelTable, Op::AddTable]);
            &empty
        }
        _ => {
            ops.push(Op::AddTable);
            &empty
        }
    };
    make_containers(current, desired, &mut ops);
    let changed = changed_sets(current, desired);
    elements(&changed, SetKind::Plain, &mut ops);
    rules(current, desired, &mut ops);
    elements(&changed, SetKind::Verdicts, &mut ops);
    remove_containers(current, desired, &mut ops);
    Batch { table: desired.table.clone(), ops }
}

/// A set or base chain cannot change its shape in place. Names are content hashes, so this is an upgrade: the table is
/// made anew, atomically.
fn reusable(current: &Snapshot, desired: &Ruleset) -> bool {
    let sets = desired.sets.iter().all(|(name, set)| current.sets.get(name).is_none_or(|old| old.same_shape(set)));
    let chains = desired
        .chains
        .iter()
        .all(|(name, chain)| current.chains.get(name).is_none_or(|old| old.base.as_ref() == chain.hook()));
    sets && chains
}

fn make_containers(current: &Snapshot, desired: &Ruleset, ops: &mut Vec<Op>) {
    for (name, chain) in &desired.chains {
        if !current.chains.contains_key(name) {
            ops.push(Op::AddChain(name.clone(), chain.hook().cloned()));
        }
    }
    for (name, set) in &desired.sets {
        if !current.sets.contains_key(name) {
            ops.push(Op::AddSet(name.clone(), set.empty()));
        }
    }
}

struct Change<'a> {
    name: &'a str,
    set: &'a Set,
    gone: Elements,
    new: Elements,
}

fn changed_sets<'a>(current: &Snapshot, desired: &'a Ruleset) -> Vec<Change<'a>> {
    let none = Elements::new();
    let mut changes = Vec::new();
    for (name, set) in &desired.sets {
        let old = match current.sets.get(name) {
            Some(old) if Arc::ptr_eq(old, set) => continue,
            Some(old) => &old.elements,
            None => &none,
        };
        let gone = missing(old, &set.elements);
        let new = missing(&set.elements, old);
        if !gone.is_empty() || !new.is_empty() {
            changes.push(Change { name, set, gone, new });
        }
    }
    changes
}

/// What is in `a` and not, or with another verdict, in `b`.
fn missing(a: &Elements, b: &Elements) -> Elements {
    a.iter()
        .filter(|(key, verdict)| b.get(*key) != Some(*verdict))
        .map(|(key, verdict)| (key.clone(), verdict.clone()))
        .collect()
}

fn elements(changes: &[Change<'_>], kind: SetKind, ops: &mut Vec<Op>) {
    for change in changes.iter().filter(|c| c.set.kind == kind) {
        if !change.gone.is_empty() {
            ops.push(Op::DelElements(change.name.to_owned(), change.set.empty(), change.gone.clone()));
        }
        if !change.new.is_empty() {
            ops.push(Op::AddElements(change.name.to_owned(), change.set.empty(), change.new.clone()));
        }
    }
}

fn rules(current: &Snapshot, desired: &Ruleset, ops: &mut Vec<Op>) {
    for (name, chain) in &desired.chains {
        match current.chains.get(name) {
            Some(SeenChain { digest: Some(digest), .. }) if *digest == chain.digest() => {}
            Some(_) => {
                ops.push(Op::FlushChain(name.clone()));
                append(name, chain, ops);
            }
            None => append(name, chain, ops),
        }
    }
}

fn append(name: &str, chain: &Arc<Chain>, ops: &mut Vec<Op>) {
    if !chain.rules().is_empty() {
        ops.push(Op::AddRules(name.to_owned(), chain.clone()));
    }
}

fn remove_containers(current: &Snapshot, desired: &Ruleset, ops: &mut Vec<Op>) {
    let chains: Vec<&String> = current.chains.keys().filter(|name| !desired.chains.contains_key(*name)).collect();
    ops.extend(chains.iter().map(|name| Op::FlushChain((*name).clone())));
    ops.extend(
        current.sets.keys().filter(|name| !desired.sets.contains_key(*name)).map(|name| Op::DelSet(name.clone())),
    );
    ops.extend(chains.into_iter().map(|name| Op::DelChain(name.clone())));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{ChainKind, ChainPolicy, Expr, Field, Hook, Interval, KeyType, Value};
    use proptest::prelude::*;

    fn sample() -> Ruleset {
        let mut ruleset = Ruleset::new("t");
        let base = Base { kind: ChainKind::Filter, hook: Hook::Forward, priority: 0, policy: ChainPolicy::Drop };
        ruleset.chain("forward", Chain::base(base, vec![vec![Expr::vmap(&[Field::Iifname], "out")]]));
        ruleset.chain(
            "class",
            Chain::regular(vec![vec![Expr::lookup(&[Field::Ip4Daddr], "peers"), Expr::ret()], vec![Expr::drop()]]),
        );
        let mut peers = Set::hash(&[KeyType::Ip4]);
        peers.insert(vec![Interval::exact(Value::Ip4([10, 0, 0, 1].into()))]);
        ruleset.set("peers", peers);
        let mut out = Set::verdicts(&[KeyType::Ifname]);
        out.map(vec![Interval::ifname("cfd1")], PacketVerdict::Goto("class".into()));
        ruleset.set("out", out);
        ruleset
    }

    #[test]
    fn a_plan_applied_twice_is_empty() {
        let desired = sample();
        assert!(!diff(&Snapshot::default(), &desired).is_empty());
        assert!(diff(&desired.snapshot(), &desired).is_empty());
    }

    #[test]
    fn a_new_peer_is_one_element() {
        let old = sample();
        let mut new = old.clone();
        let mut peers = (*old.sets["peers"]).clone();
        let address = vec![Interval::exact(Value::Ip4([10, 0, 0, 2].into()))];
        peers.insert(address.clone());
        new.set("peers", peers);
        let batch = diff(&old.snapshot(), &new);
        let added = Elements::from([(address, None)]);
        assert_eq!(batch.ops, [Op::AddElements("peers".into(), Set::hash(&[KeyType::Ip4]), added)]);
    }

    #[test]
    fn a_removed_class_is_emptied_before_its_sets_and_chains_go() {
        let old = sample();
        let mut new = old.clone();
        new.chains.remove("class");
        new.sets.remove("peers");
        new.set("out", Set::verdicts(&[KeyType::Ifname]));
        let kinds: Vec<&str> = diff(&old.snapshot(), &new).ops.iter().map(kind).collect();
        assert_eq!(kinds, ["del-elements", "flush", "del-set", "del-chain"]);
    }

    #[test]
    fn a_set_of_another_shape_makes_the_table_anew() {
        let old = sample();
        let mut new = old.clone();
        new.set("peers", Set::intervals(&[KeyType::Ip4]));
        assert_eq!(diff(&old.snapshot(), &new).ops[..2], [Op::DelTable, Op::AddTable]);
    }

    #[test]
    fn a_chain_that_somebody_changed_is_replaced() {
        let desired = sample();
        let mut current = desired.snapshot();
        current.chains.insert("class".into(), SeenChain { base: None, digest: None });
        let kinds: Vec<&str> = diff(&current, &desired).ops.iter().map(kind).collect();
        assert_eq!(kinds, ["flush", "add-rules"]);
    }

    fn kind(op: &Op) -> &'static str {
        match op {
            Op::AddTable => "add-table",
            Op::DelTable => "del-table",
            Op::AddChain(..) => "add-chain",
            Op::AddSet(..) => "add-set",
            Op::AddElements(..) => "add-elements",
            Op::DelElements(..) => "del-elements",
            Op::FlushChain(_) => "flush",
            Op::AddRules(..) => "add-rules",
            Op::DelChain(_) => "del-chain",
            Op::DelSet(_) => "del-set",
        }
    }

    proptest! {
        #[test]
        fn deltas_lead_from_any_set_to_any_other(
            old in proptest::collection::btree_set(0u32..64, 0..40),
            new in proptest::collection::btree_set(0u32..64, 0..40),
        ) {
            let build = |values: &std::collections::BTreeSet<u32>| {
                let mut set = Set::hash(&[KeyType::Mark]);
                values.iter().for_each(|v| set.insert(vec![Interval::exact(Value::U32(*v))]));
                let mut ruleset = Ruleset::new("t");
                ruleset.set("s", set);
                ruleset
            };
            let (old, new) = (build(&old), build(&new));
            let mut state = old.sets["s"].elements.clone();
            for op in diff(&old.snapshot(), &new).ops {
                match op {
                    Op::DelElements(_, _, gone) => gone.keys().for_each(|k| prop_assert_removed(&mut state, k)),
                    Op::AddElements(_, _, added) => state.extend(added),
                    other => prop_assert!(false, "unexpected {other:?}"),
                }
            }
            prop_assert_eq!(&state, &new.sets["s"].elements);
        }
    }

    fn prop_assert_removed(state: &mut Elements, key: &Element) {
        assert!(state.remove(key).is_some(), "deleted what was not there");
    }
}
