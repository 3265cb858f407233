//! What `apply` and `delete` say of each object.

use cofferdam_admin_api::v1::{ObjectOutcome, Outcome};

use super::pod;

/// What became of a pod, in a word.
pub fn of_pod(outcome: pod::Outcome) -> &'static str {
    match outcome {
        pod::Outcome::Created => "created",
        pod::Outcome::Unchanged => "unchanged",
        pod::Outcome::Deleted => "deleted",
        pod::Outcome::Absent => "absent",
    }
}

/// What became of an object of the source directory, as a line.
pub fn of_object(object: &ObjectOutcome) -> String {
    let what = match object.outcome() {
        Outcome::Created => "created",
        Outcome::Changed => "changed",
        Outcome::Unchanged => "unchanged",
        Outcome::Deleted => "deleted",
        Outcome::Absent => "absent",
        Outcome::Unspecified => "done",
    };
    let of = object.object.clone().unwrap_or_default();
    let name = if of.namespace.is_empty() { of.name } else { format!("{}/{}", of.namespace, of.name) };
    format!("{} {name} {what}", of.kind.to_lowercase())
}

#[cfg(test)]
mod tests {
    use cofferdam_admin_api::v1::ObjectRef;

    use super::*;

    #[test]
    fn an_object_is_named_with_its_namespace_if_it_has_one() {
        let object = |namespace: &str| ObjectOutcome {
            object: Some(ObjectRef { kind: "NetworkPolicy".into(), namespace: namespace.into(), name: "n".into() }),
            outcome: Outcome::Created.into(),
            path: String::new(),
        };
        assert_eq!(of_object(&object("acme")), "networkpolicy acme/n created");
        assert_eq!(of_object(&object("")), "networkpolicy n created");
    }
}
