//! The line of a field: a second walk over the document, made only for an error.

use std::fmt;

use serde::Deserialize as _;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

/// The line, from 1, of a path like `spec.containers[0].image`; of an absent field, that of what it would be in.
pub(super) fn line(document: &str, path: &str) -> u64 {
    let parts = parts(path);
    let at = |length: usize| {
        let walk = Walk(&parts[..length]);
        serde_saphyr::with_deserializer_from_str(document, |d| walk.deserialize(d)).ok().flatten()
    };
    (0..=parts.len()).rev().find_map(at).unwrap_or(1)
}

enum Part<'a> {
    Key(&'a str),
    Index(usize),
}

fn parts(path: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    for name in path.split('.') {
        let mut pieces = name.split('[');
        parts.extend(pieces.next().map(Part::Key));
        let index = |piece: &str| piece.trim_end_matches(']').parse().ok().map(Part::Index);
        parts.extend(pieces.filter_map(index));
    }
    parts
}

/// Goes down a path.
struct Walk<'a>(&'a [Part<'a>]);

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = Option<u64>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        match self.0.first() {
            None => Spanned::<IgnoredAny>::deserialize(from).map(|found| Some(found.referenced.line())),
            Some(Part::Key(_)) => from.deserialize_map(self),
            Some(Part::Index(_)) => from.deserialize_seq(self),
        }
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = Option<u64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what the path says")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let Some((Part::Key(wanted), rest)) = self.0.split_first() else { return Ok(None) };
        let mut found = None;
        while let Some(key) = map.next_key::<String>()? {
            if key == *wanted {
                found = map.next_value_seed(Walk(rest))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let Some((Part::Index(wanted), rest)) = self.0.split_first() else { return Ok(None) };
        let mut found = None;
        for index in 0.. {
            let more = if index == *wanted {
                let line = seq.next_element_seed(Walk(rest))?;
                found = line.flatten();
                line.is_some()
            } else {
                seq.next_element::<IgnoredAny>()?.is_some()
            };
            if !more {
                break;
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_field_is_found_by_its_path_and_an_absent_one_by_its_parent() {
        let text =
            "metadata: {name: data}\nspec:\n  volumes:\n  - name: a\n  - name: data\n    size: 1\n  other: {x: 2}\n";
        for (path, want) in [
            ("metadata.name", 1),
            ("spec.volumes[0].name", 4),
            ("spec.volumes[1].name", 5),
            ("spec.volumes[1].size", 6),
            ("spec.volumes[1].absent", 5),
            ("spec.volumes[7].name", 4),
            ("spec.other.x", 7),
            ("absent", 1),
        ] {
            assert_eq!(super::line(text, path), want, "{path}");
        }
    }
}
