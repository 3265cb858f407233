//! As much of OpenAPI as the Tenant's schema uses, stricter than the API server: an unknown field is an error, not
//! pruned.

use serde_json::Value;

/// What does not fit, each with its path.
pub fn misfits(schema: &Value, value: &Value, path: &str) -> Vec<String> {
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        return vec![format!("{path}: {value} is none of {allowed:?}")];
    }
    match (schema["type"].as_str(), value) {
        (Some("object"), Value::Object(fields)) => {
            let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let missing =
                required.filter(|name| !fields.contains_key(*name)).map(|name| format!("{path}.{name}: is missing"));
            let inner = fields.iter().flat_map(|(name, field)| match schema["properties"].get(name) {
                Some(schema) => misfits(schema, field, &format!("{path}.{name}")),
                None => vec![format!("{path}.{name}: is unknown")],
            });
            missing.chain(inner).collect()
        }
        (Some("array"), Value::Array(items)) => {
            let items = items.iter().enumerate();
            items.flat_map(|(i, item)| misfits(&schema["items"], item, &format!("{path}[{i}]"))).collect()
        }
        (Some("string"), Value::String(_)) | (Some("boolean"), Value::Bool(_)) => Vec::new(),
        (kind, _) => vec![format!("{path}: {value} is no {}", kind.unwrap_or("known type"))],
    }
}
