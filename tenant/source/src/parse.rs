//! The objects of a file, strict: whatever is not understood is an error with its line.

use std::collections::HashMap;
use std::sync::Arc;

use cofferdam_tenant::{DEFAULT_TENANT, SYSTEM_TENANT, TenantSpec};
use serde::de::IgnoredAny;

use crate::document::{Document, FileError, documents};
use crate::kinds::ObjectKinds;
use crate::list::{self, Item};
use crate::manifest::{Manifest, TypeMeta};
use crate::object::{Located, Object, ObjectKey};
use crate::pod;

/// All objects of a file, of the kinds `K` too.
///
/// # Errors
/// The first thing that is wrong.
pub fn parse<K: ObjectKinds>(file: &str, text: &str) -> Result<Vec<Located<K::Object>>, FileError> {
    let mut found = Found::<K> { objects: Vec::new(), lines: HashMap::new() };
    for (line, text) in documents(text) {
        let document = Document { file, line, text };
        if document.is_blank() {
            continue;
        }
        let type_meta: TypeMeta = document.read()?;
        match list::items(&type_meta, &document)? {
            None => found.add(&document)?,
            Some(items) => {
                for Item { line, text } in &items {
                    found.add(&Document { file, line: *line, text })?;
                }
            }
        }
    }
    Ok(found.objects)
}

/// The objects found so far, and the line of each.
struct Found<K: ObjectKinds> {
    objects: Vec<Located<K::Object>>,
    lines: HashMap<ObjectKey, u64>,
}

impl<K: ObjectKinds> Found<K> {
    fn add(&mut self, document: &Document<'_>) -> Result<(), FileError> {
        let object = read::<K>(document)?;
        let (key, line) = (key_of::<K>(&object), document.line);
        if let Some(first) = self.lines.insert(key.clone(), line) {
            let (kind, _, name) = key;
            return Err(document.error(line, format!("{kind} {name} is already in line {first}")));
        }
        self.objects.push(Located { key, object, line, text: document.text.to_owned() });
        Ok(())
    }
}

fn key_of<K: ObjectKinds>(object: &Object<K::Object>) -> ObjectKey {
    match object {
        Object::Namespace(name, _) => ("Namespace", String::new(), name.clone()),
        Object::Tenant(name, _) => ("Tenant", String::new(), name.clone()),
        Object::Pod(pod) => ("Pod", pod.namespace.clone(), pod.name.clone()),
        Object::Further(object) => K::key(object),
    }
}

fn read<K: ObjectKinds>(document: &Document<'_>) -> Result<Object<K::Object>, FileError> {
    let type_meta: TypeMeta = document.read()?;
    match (type_meta.api_version.as_str(), type_meta.kind.as_str()) {
        ("v1", "Namespace") => {
            let namespace: Manifest<IgnoredAny> = document.read()?;
            namespace.metadata.check_cluster_scoped(document)?;
            Ok(Object::Namespace(namespace.metadata.name, namespace.metadata.labels))
        }
        ("v1", "Pod") => Ok(Object::Pod(Box::new(pod::read(document)?))),
        ("cofferdam.dev/v1alpha1", "Tenant") => {
            let (name, spec) = tenant(document)?;
            Ok(Object::Tenant(name, Arc::new(spec)))
        }
        (version, kind) => match K::read(&type_meta, document) {
            Some(object) => Ok(Object::Further(object?)),
            None => {
                let reason = format!("{version} {kind} is not an object of this directory");
                Err(document.field_error("kind", &reason))
            }
        },
    }
}

fn tenant(document: &Document<'_>) -> Result<(String, TenantSpec), FileError> {
    let tenant: Manifest<TenantSpec> = document.read()?;
    tenant.metadata.check_cluster_scoped(document)?;
    let name = tenant.metadata.name;
    if [DEFAULT_TENANT, SYSTEM_TENANT].contains(&name.as_str()) {
        return Err(document.field_error("metadata.name", "this tenant is written in the config, not as an object"));
    }
    let spec = tenant.spec.unwrap_or_default();
    spec.check().map_err(|e| document.field_error(&e.field, &e.reason))?;
    Ok((name, spec))
}
