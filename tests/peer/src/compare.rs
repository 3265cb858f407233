//! Two trees of JSON, and the leaves in which they differ.

use std::collections::BTreeMap;

use serde_json::Value;

/// One leaf that is not the same on both sides.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// The names from the root to the leaf, joined by `: `.
    pub path: String,
    /// What Cofferdam has there; `-` when nothing.
    pub ours: String,
    /// What the peer has there.
    pub theirs: String,
}

/// What a side has where the other has something and it has nothing.
pub const NOTHING: &str = "-";

/// All leaves that differ, by path.
pub fn differences(ours: &Value, theirs: &Value) -> Vec<Difference> {
    let (mut left, mut right) = (BTreeMap::new(), BTreeMap::new());
    flatten(String::new(), ours, &mut left);
    flatten(String::new(), theirs, &mut right);
    let paths: std::collections::BTreeSet<&String> = left.keys().chain(right.keys()).collect();
    let nothing = NOTHING.to_owned();
    let of = |path: &String| {
        let (ours, theirs) = (left.get(path).unwrap_or(&nothing), right.get(path).unwrap_or(&nothing));
        (ours != theirs).then(|| Difference { path: path.clone(), ours: ours.clone(), theirs: theirs.clone() })
    };
    paths.into_iter().filter_map(of).collect()
}

/// Leaves by path. An empty object or list is a leaf too.
fn flatten(path: String, value: &Value, leaves: &mut BTreeMap<String, String>) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}: {name}") };
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                flatten(below(name), value, leaves);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (number, value) in items.iter().enumerate() {
                flatten(below(&number.to_string()), value, leaves);
            }
        }
        Value::String(text) => {
            leaves.insert(path, one_line(text));
        }
        other => {
            leaves.insert(path, other.to_string());
        }
    }
}

/// Text as it can stand between the bars of a line.
fn one_line(text: &str) -> String {
    let text = if text.is_empty() { "\"\"" } else { text };
    text.replace('\n', "\\n").replace('\t', "\\t").replace('\r', "\\r").replace('|', "/").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_leaf_that_only_one_side_has_is_a_difference() {
        let found = differences(&json!({"a": {"b": 1, "c": "x"}}), &json!({"a": {"b": 1}, "d": [true]}));
        let paths: Vec<(&str, &str, &str)> =
            found.iter().map(|d| (d.path.as_str(), d.ours.as_str(), d.theirs.as_str())).collect();
        assert_eq!(paths, [("a: c", "x", "-"), ("d: 0", "-", "true")]);
    }

    #[test]
    fn equal_trees_have_no_difference_and_empty_ones_are_leaves() {
        assert!(differences(&json!({"a": [], "b": {}}), &json!({"a": [], "b": {}})).is_empty());
        assert_eq!(differences(&json!({"a": []}), &json!({"a": [1]})).len(), 2);
        assert_eq!(differences(&json!({"a": ""}), &json!({"b": 1}))[0].ours, "\"\"");
    }

    #[test]
    fn text_stays_on_one_line_without_bars() {
        assert_eq!(one_line("a|b\nc\r\n"), "a/b\\nc\\r\\n");
    }
}
