//! Lists: what kubectl writes for several objects, `kind: List` or the list of one kind, is its objects.

use serde::Deserialize;
use serde_json::Value;
use serde_saphyr::Spanned;

use crate::document::{Document, FileError};
use crate::manifest::TypeMeta;

#[derive(Deserialize)]
struct List {
    items: Option<Vec<Spanned<Value>>>,
}

/// One object of a list.
pub(crate) struct Item {
    /// Its first line in the file.
    pub(crate) line: u64,
    /// A document of its own, in one line.
    pub(crate) text: String,
}

/// The objects of a list; `None` if the document is none. Objects in the list of one kind may leave out their kind.
pub(crate) fn items(type_meta: &TypeMeta, document: &Document<'_>) -> Result<Option<Vec<Item>>, FileError> {
    let Some(kind) = type_meta.kind.strip_suffix("List") else { return Ok(None) };
    let list: List = document.read()?;
    let mut found = Vec::new();
    for item in list.items.unwrap_or_default() {
        let line = document.line + item.referenced.line().saturating_sub(1);
        let Value::Object(mut object) = item.value else {
            return Err(document.error(line, "items: is no object".to_owned()));
        };
        if !kind.is_empty() {
            object.entry("kind").or_insert_with(|| kind.into());
            object.entry("apiVersion").or_insert_with(|| type_meta.api_version.clone().into());
        }
        found.push(Item { line, text: Value::Object(object).to_string() });
    }
    Ok(Some(found))
}
