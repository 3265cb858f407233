//! What of a protocol shows on the wire (binary, JSON, gRPC paths), as comparable text: the split into files does not.

use std::collections::BTreeMap;

use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet};

/// Every declaration by its full name, with what must be equal.
pub type Shape = BTreeMap<String, String>;

pub fn shape(files: &FileDescriptorSet) -> Shape {
    let mut shape = Shape::new();
    for file in &files.file {
        let package = format!(".{}", file.package());
        shape.insert(format!("package {package}"), file.syntax().to_owned());
        file.message_type.iter().for_each(|m| add_message(&mut shape, &package, m));
        file.enum_type.iter().for_each(|e| add_enum(&mut shape, &package, e));
        for (service, method) in file.service.iter().flat_map(|s| s.method.iter().map(move |m| (s, m))) {
            let stream = |yes| if yes { "stream " } else { "" };
            let (client, server) = (stream(method.client_streaming()), stream(method.server_streaming()));
            shape.insert(
                format!("rpc {package}.{}/{}", service.name(), method.name()),
                format!("{client}{} returns {server}{}", method.input_type(), method.output_type()),
            );
        }
    }
    shape
}

fn add_message(shape: &mut Shape, scope: &str, message: &DescriptorProto) {
    let name = format!("{scope}.{}", message.name());
    let is_map = message.options.as_ref().is_some_and(|o| o.map_entry());
    let reserved: Vec<_> = message.reserved_range.iter().map(|r| (r.start(), r.end())).collect();
    shape.insert(format!("message {name}"), format!("map={is_map} reserved={reserved:?} {:?}", message.reserved_name));
    for field in &message.field {
        shape.insert(format!("field {name}.{}", field.name()), field_shape(message, field));
    }
    message.nested_type.iter().for_each(|m| add_message(shape, &name, m));
    message.enum_type.iter().for_each(|e| add_enum(shape, &name, e));
}

fn field_shape(message: &DescriptorProto, field: &FieldDescriptorProto) -> String {
    let oneof = field.oneof_index.map(|i| message.oneof_decl[i as usize].name());
    let packed = field.options.as_ref().and_then(|o| o.packed);
    format!(
        "{} {:?} {:?} {} json={} oneof={oneof:?} optional={} packed={packed:?}",
        field.number(),
        field.label(),
        field.r#type(),
        field.type_name(),
        field.json_name(),
        field.proto3_optional(),
    )
}

fn add_enum(shape: &mut Shape, scope: &str, one: &EnumDescriptorProto) {
    let name = format!("{scope}.{}", one.name());
    shape.insert(format!("enum {name}"), format!("aliases={}", one.options.as_ref().is_some_and(|o| o.allow_alias())));
    for value in &one.value {
        shape.insert(format!("value {name}.{}", value.name()), value.number().to_string());
    }
}

/// One line a difference; none: equal.
pub fn differences(ours: &Shape, theirs: &Shape) -> Vec<String> {
    let changed = ours.iter().filter_map(|(name, mine)| match theirs.get(name) {
        None => Some(format!("{name}: only ours")),
        Some(other) if other != mine => Some(format!("{name}: ours {mine}, theirs {other}")),
        Some(_) => None,
    });
    let missing = theirs.keys().filter(|name| !ours.contains_key(*name)).map(|name| format!("{name}: only theirs"));
    changed.chain(missing).collect()
}
