//! Replaces what differs from run to run and from side to side without meaning anything: ids, paths, addresses, times.

use serde_json::Value;

/// Texts of one side and what stands for them. Longer texts are replaced first.
#[derive(Clone, Debug, Default)]
pub struct Known {
    texts: Vec<(String, String)>,
}

impl Known {
    /// Every `text` becomes `<name>`. Empty texts are left alone.
    pub fn add(&mut self, text: &str, name: &str) {
        if !text.is_empty() {
            self.texts.push((text.to_owned(), format!("<{name}>")));
            self.texts.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
        }
    }

    fn replace(&self, text: &str) -> String {
        self.texts.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
    }
}

/// Fields that hold a time, a size or a measure: what counts is whether there is one.
const MEASURES: &[&str] = &[
    "created_at",
    "started_at",
    "finished_at",
    "timestamp",
    "usage_core_nano_seconds",
    "usage_nano_cores",
    "working_set_bytes",
    "usage_bytes",
    "available_bytes",
    "rss_bytes",
    "page_faults",
    "major_page_faults",
    "used_bytes",
    "inodes_used",
    "rx_bytes",
    "tx_bytes",
    "rx_errors",
    "tx_errors",
    "process_count",
    "some",
    "full",
    "swap_available_bytes",
    "swap_usage_bytes",
    "container_usage_bytes",
];

/// The tree with everything known replaced, in values and in names of fields.
pub fn normalise(value: &Value, known: &Known) -> Value {
    match value {
        Value::Object(fields) => {
            let pairs = fields.iter().map(|(name, value)| {
                let value = if MEASURES.contains(&name.as_str()) { measure(value) } else { normalise(value, known) };
                (known.replace(name), value)
            });
            Value::Object(pairs.collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(|item| normalise(item, known)).collect()),
        Value::String(text) => Value::String(known.replace(text)),
        other => other.clone(),
    }
}

/// Whether there is a value. A message is one, whatever number it holds.
fn measure(value: &Value) -> Value {
    let there = match value {
        Value::Null => false,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::Array(items) => !items.is_empty(),
        _ => true,
    };
    Value::from(if there { "there" } else { "none" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn longer_texts_are_replaced_first_and_names_of_fields_too() {
        let mut known = Known::default();
        known.add("/tmp/a", "dir");
        known.add("/tmp/a/root", "root");
        known.add("", "nothing");
        let value = normalise(&json!({"/tmp/a/root/x": ["/tmp/a/logs"]}), &known);
        assert_eq!(value, json!({"<root>/x": ["<dir>/logs"]}));
    }

    #[test]
    fn of_a_measure_only_its_presence_is_left() {
        let value =
            json!({"created_at": 17, "started_at": 0, "rss_bytes": {"value": 0}, "usage_bytes": null, "exit_code": 3});
        let expected = json!({"created_at": "there", "started_at": "none", "rss_bytes": "there", "usage_bytes": "none", "exit_code": 3});
        assert_eq!(normalise(&value, &Known::default()), expected);
    }
}
