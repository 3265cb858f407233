//! The protocol is wire-identical to the `api.proto` of k8s.io/cri-api: nothing missing, nothing extra, nothing
//! renamed.
//!
//! Upstream's file is what `tests/setup/go.sh cri-api` keeps.

#![allow(clippy::unwrap_used)]

mod shape;

use cofferdam_cri_api::FILE_DESCRIPTOR_SET;
use cofferdam_test_support::{api_proto, needs};
use prost::Message as _;
use prost_types::FileDescriptorSet;
use shape::{differences, shape};

fn ours() -> FileDescriptorSet {
    FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap()
}

#[needs(network)]
#[test]
fn every_name_number_type_and_method_is_upstreams() {
    let path = api_proto().unwrap();
    let theirs = protox::compile([&path], [path.parent().unwrap()]).unwrap();
    let found = differences(&shape(&ours()), &shape(&theirs));
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn there_are_43_methods() {
    let count =
        |service: &str| shape(&ours()).keys().filter(|k| k.starts_with(&format!("rpc .runtime.v1.{service}/"))).count();
    assert_eq!((count("RuntimeService"), count("ImageService")), (37, 6));
}

/// The comparison itself must see each kind of difference.
#[test]
fn a_changed_protocol_is_told_apart() {
    let told = |change: fn(&mut FileDescriptorSet)| {
        let mut changed = ours();
        change(&mut changed);
        differences(&shape(&changed), &shape(&ours())).join("\n")
    };
    fn message<'a>(files: &'a mut FileDescriptorSet, name: &str) -> &'a mut prost_types::DescriptorProto {
        files.file.iter_mut().flat_map(|f| &mut f.message_type).find(|m| m.name() == name).unwrap()
    }
    fn api(files: &mut FileDescriptorSet) -> &mut prost_types::ServiceDescriptorProto {
        files.file.iter_mut().flat_map(|f| &mut f.service).next().unwrap()
    }
    assert_eq!(told(|_| ()), "");
    assert!(told(|f| message(f, "Mount").field[0].number = Some(99)).contains("Mount.container_path"));
    assert!(
        told(|f| message(f, "Mount").field[2].set_type(prost_types::field_descriptor_proto::Type::String))
            .contains("Mount.readonly")
    );
    assert!(told(|f| message(f, "Mount").field[2].json_name = Some("ro".into())).contains("Mount.readonly"));
    assert!(
        told(|f| message(f, "Mount").field[5].set_label(prost_types::field_descriptor_proto::Label::Optional))
            .contains("uidMappings")
    );
    assert!(told(|f| drop(message(f, "Mount").field.pop())).contains("Mount.mount_options: only theirs"));
    assert!(told(|f| message(f, "PodIP").name = Some("PodIp".into())).contains("PodIp: only ours"));
    assert!(told(|f| drop(message(f, "SecurityProfile").enum_type[0].value.pop())).contains("Localhost"));
    assert!(told(|f| api(f).method[6].server_streaming = None).contains("StreamPodSandboxes"));
    assert!(told(|f| drop(api(f).method.pop())).contains("only theirs"));
}
