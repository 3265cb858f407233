//! From a snapshot to rules.
//!
//! The chain `sources` asks who may speak from an address. The base chains `forward` and `input` split by family; then
//! follow bindings, replies, `iifname vmap @out` and `oifname vmap @in`, which lead each packet to the class chains of
//! its source and destination.

use crate::base_chains;
use crate::class_chains::Classes;
use crate::family::Family;
use crate::ir::{Interval, KeyType, PacketVerdict, Ruleset, Set};
use crate::local_pod::LocalPod;
use crate::node::NodeConfig;
use crate::policy::PolicyType;
use crate::snapshot::PolicySnapshot;
use crate::source_check;
use crate::topology::Topology;

/// The rules that the kernel should hold. With nothing loaded no pod is bound, so all pod traffic drops.
pub fn compile(snapshot: &PolicySnapshot, node: &NodeConfig, local: &[LocalPod]) -> Ruleset {
    let bound = if snapshot.facts.blocked.is_some() { &[] } else { local };
    let topology = Topology::new(snapshot, node, bound);
    let mut rules = Ruleset::new(&node.table);
    source_check::add(&mut rules, &topology);
    base_chains::add(&mut rules, &topology);
    let mut classes = Classes::default();
    let mut maps = Family::BOTH.map(Maps::new);
    for pod in &topology.pods {
        let Some((interface, addresses)) = &pod.local else { continue };
        let out = classes.chains_of(&mut rules, &topology, pod, PolicyType::Egress);
        let into = classes.chains_of(&mut rules, &topology, pod, PolicyType::Ingress);
        for (i, maps) in maps.iter_mut().enumerate() {
            for address in addresses.iter().filter(|a| maps.family.has(a)) {
                maps.bind.insert(vec![Interval::ifname(interface), Interval::exact(*address)]);
            }
            maps.out.map(vec![Interval::ifname(interface)], PacketVerdict::Jump(out[i].clone()));
            maps.into.map(vec![Interval::ifname(interface)], PacketVerdict::Jump(into[i].clone()));
        }
    }
    for Maps { family, out, into, bind } in maps {
        rules.set(family.name("out"), out);
        rules.set(family.name("in"), into);
        rules.set(family.name("bind"), bind);
    }
    let mut own = Set::hash(&[KeyType::Ifname, KeyType::Ifname]);
    for (interface, _) in topology.pods.iter().filter_map(|p| p.local.as_ref()) {
        own.insert(vec![Interval::ifname(interface), Interval::ifname(interface)]);
    }
    rules.set("self", own);
    rules
}

/// The maps and the set that exist once for each family.
struct Maps {
    family: Family,
    out: Set,
    into: Set,
    bind: Set,
}

impl Maps {
    fn new(family: Family) -> Self {
        let map = || Set::verdicts(&[KeyType::Ifname]);
        Maps { family, out: map(), into: map(), bind: Set::hash(&[KeyType::Ifname, family.key()]) }
    }
}
