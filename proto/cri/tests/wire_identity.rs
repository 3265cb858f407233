//! The protos are wire-identical to the `api.proto` of the Go module: nothing missing, nothing extra, nothing renamed.
//!
//! The module's file is found by `CRI_API_PROTO` or in the cache that `tests/setup/go.sh cri-api` fills.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorSet};

/// Every name with its number, type, cardinality, oneof or signature, as text.
type Shape = BTreeMap<String, String>;

fn upstream() -> Option<PathBuf> {
    if let Ok(path) = std::env::var("CRI_API_PROTO") {
        return Some(path.into());
    }
    let cache = std::env::var("XDG_CACHE_HOME").map(PathBuf::from).or_else(|_| std::env::var("HOME").map(|h| Path::new(&h).join(".cache"))).ok()?;
    Some(cache.join("cofferdam/tools/cri-api-v0.37.2/api.proto")).filter(|p| p.exists())
}

fn shape(files: &FileDescriptorSet) -> Shape {
    let mut shape = Shape::new();
    for file in &files.file {
        let package = file.package();
        for message in &file.message_type {
            add_message(&mut shape, &format!("{package}.{}", message.name()), message);
        }
        for e in &file.enum_type {
            add_enum(&mut shape, &format!("{package}.{}", e.name()), e);
        }
        for service in &file.service {
            for method in &service.method {
                let signature = format!(
                    "{} {} -> {} {}",
                    method.input_type(),
                    method.client_streaming(),
                    method.output_type(),
                    method.server_streaming()
                );
                shape.insert(format!("rpc {package}.{}/{}", service.name(), method.name()), signature);
            }
        }
    }
    shape
}

fn add_message(shape: &mut Shape, name: &str, message: &DescriptorProto) {
    shape.insert(format!("message {name}"), format!("{:?} {:?}", message.reserved_name, message.reserved_range));
    for field in &message.field {
        let oneof = field.oneof_index.map(|i| message.oneof_decl[i as usize].name().to_owned());
        let value = format!(
            "{} {:?} {:?} {} json={} oneof={oneof:?} optional={}",
            field.number(),
            field.label(),
            field.r#type(),
            field.type_name(),
            field.json_name(),
            field.proto3_optional()
        );
        shape.insert(format!("field {name}.{}", field.name()), value);
    }
    for nested in &message.nested_type {
        add_message(shape, &format!("{name}.{}", nested.name()), nested);
    }
    for e in &message.enum_type {
        add_enum(shape, &format!("{name}.{}", e.name()), e);
    }
}

fn add_enum(shape: &mut Shape, name: &str, e: &EnumDescriptorProto) {
    for value in &e.value {
        shape.insert(format!("enum {name}.{}", value.name()), value.number().to_string());
    }
}

#[test]
fn the_protos_are_wire_identical_to_the_go_modules() {
    let Some(path) = upstream() else {
        assert!(std::env::var_os("CI").is_none(), "CI must provide the Go module's api.proto (tests/setup/go.sh cri-api)");
        eprintln!("skipped: no api.proto of k8s.io/cri-api here (tests/setup/go.sh cri-api fetches it)");
        return;
    };
    let theirs = shape(&protox::compile([&path], [path.parent().unwrap()]).unwrap());
    let ours = shape(&protox::compile(["services.proto"], [concat!(env!("CARGO_MANIFEST_DIR"), "/proto")]).unwrap());
    let differences: Vec<String> = theirs
        .iter()
        .filter(|(name, value)| ours.get(*name) != Some(value))
        .map(|(name, value)| format!("{name}: theirs {value}, ours {:?}", ours.get(name)))
        .chain(ours.keys().filter(|name| !theirs.contains_key(*name)).map(|name| format!("{name}: only ours")))
        .collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert_eq!(ours.keys().filter(|k| k.starts_with("rpc ")).count(), 43);
}
