//! The objects of all files as one set of facts. Pure.

use std::collections::BTreeMap;

use cofferdam_tenant_cluster::{ClusterFacts, ClusterPod, Labels, NAME_LABEL};

use crate::config::SourceConfig;
use crate::object::{Located, Object, ObjectKey};

/// The objects of one file.
pub(crate) struct Part<'a, X> {
    /// Name of the file.
    pub name: &'a str,
    /// Its objects.
    pub objects: &'a [Located<X>],
    /// Whether the file is in the directory; one that has just gone still counts, where no other has the object.
    pub present: bool,
}

/// Something that is wrong with one object: file, line and reason.
pub(crate) type Wrong = (String, u64, String);

/// Adds all objects. One that is in two files counts as the file has it that was there first, which `owners` remembers.
pub(crate) fn merge<X: Clone>(
    parts: &[Part<'_, X>],
    owners: &mut BTreeMap<ObjectKey, String>,
    config: &SourceConfig,
    facts: &mut ClusterFacts,
    further: &mut Vec<X>,
) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    let chosen = choose(parts, owners, &mut wrong);
    for part in parts {
        for located in part.objects.iter().filter(|located| chosen.get(&located.key) == Some(&part.name)) {
            match &located.object {
                Object::Namespace(name, labels) => _ = facts.namespaces.insert(name.clone(), with_name(name, labels)),
                Object::Tenant(name, spec) => _ = facts.tenants.insert(name.clone(), spec.clone()),
                Object::Pod(pod) => {
                    let (pod, refused) = with_pod_addresses(pod, config);
                    wrong.extend(refused.map(|reason| (part.name.to_owned(), located.line, reason)));
                    facts.pods.push(pod);
                }
                Object::Further(object) => further.push(object.clone()),
            }
        }
    }
    *owners = chosen.into_iter().map(|(key, name)| (key, name.to_owned())).collect();
    wrong
}

/// Which file each object is taken from.
fn choose<'a, X>(
    parts: &[Part<'a, X>],
    owners: &BTreeMap<ObjectKey, String>,
    wrong: &mut Vec<Wrong>,
) -> BTreeMap<ObjectKey, &'a str> {
    let mut chosen: BTreeMap<ObjectKey, &'a str> = BTreeMap::new();
    let present = |part: &&Part<'_, X>| part.present;
    // What was in force stays so: a second file with the same object is the mistake, whatever its name.
    for part in parts.iter().filter(present) {
        for located in part.objects.iter().filter(|o| owners.get(&o.key).is_some_and(|owner| owner == part.name)) {
            chosen.insert(located.key.clone(), part.name);
        }
    }
    for part in parts.iter().filter(present) {
        for Located { key, line, .. } in part.objects {
            match chosen.get(key) {
                Some(first) if *first != part.name => {
                    wrong.push((part.name.to_owned(), *line, format!("{} {} is already in {first}", key.0, key.2)));
                }
                Some(_) => {}
                None => _ = chosen.insert(key.clone(), part.name),
            }
        }
    }
    for part in parts.iter().filter(|part| !part.present) {
        for located in part.objects {
            chosen.entry(located.key.clone()).or_insert(part.name);
        }
    }
    chosen
}

/// Adds the label that the API server would set.
fn with_name(name: &str, labels: &Labels) -> Labels {
    let mut labels = labels.clone();
    labels.insert(NAME_LABEL.into(), name.to_owned());
    labels
}

/// The pod without addresses that no pod can have: by them it would be somebody else in every rule that names it.
fn with_pod_addresses(pod: &ClusterPod, config: &SourceConfig) -> (ClusterPod, Option<String>) {
    let mut pod = pod.clone();
    if pod.host_network {
        return (pod, None);
    }
    let (kept, refused): (Vec<_>, Vec<_>) = pod.addresses.iter().partition(|address| config.is_pod_address(**address));
    pod.addresses = kept;
    let refused: Vec<String> = refused.iter().map(ToString::to_string).collect();
    let reason = (!refused.is_empty()).then(|| {
        format!(
            "Pod {}/{} claims {}, which is no pod address (cluster.pod_cidrs)",
            pod.namespace,
            pod.name,
            refused.join(", ")
        )
    });
    (pod, reason)
}
