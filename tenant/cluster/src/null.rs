//! Null as the API server takes it: the zero value of its field, as if the field were not written.

use serde::{Deserialize, Deserializer};

use crate::labels::Labels;

/// Null is the default.
///
/// # Errors
/// Those of the value.
pub fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

/// A list of objects: null is an empty list, and a null in it an object without any field.
///
/// # Errors
/// Those of the objects.
pub fn items<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<Vec<T>, D::Error> {
    let all = Option::<Vec<Option<T>>>::deserialize(from)?.unwrap_or_default();
    Ok(all.into_iter().map(Option::unwrap_or_default).collect())
}

/// Labels: a null value is an empty one.
///
/// # Errors
/// What is no map of texts.
pub fn labels<'de, D: Deserializer<'de>>(from: D) -> Result<Labels, D::Error> {
    let all = Option::<std::collections::BTreeMap<String, Option<String>>>::deserialize(from)?.unwrap_or_default();
    Ok(all.into_iter().map(|(key, value)| (key, value.unwrap_or_default())).collect())
}
