//! What is shipped in `manifests/` is what the code takes.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support {
    pub mod schema;
}

use std::fs;
use std::path::{Path, PathBuf};

use cofferdam_arch_tests::root;
use cofferdam_netpolicy_watch::parse;
use cofferdam_tenant::{TenantSpec, tenant_crd};
use serde_json::{Value, json};
use support::schema::misfits;

fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn documents(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    let parts = text.split("\n---\n").filter(|part| part.lines().any(|l| !l.trim().is_empty() && !l.starts_with('#')));
    parts.map(|part| serde_saphyr::from_str(part).unwrap_or_else(|e| panic!("{}: {e}", path.display()))).collect()
}

fn manifests() -> PathBuf {
    root().join("manifests")
}

#[test]
fn every_manifest_is_one_object_or_several() {
    let files = files(&manifests(), "yaml");
    assert!(files.len() >= 6, "{files:?}");
    for path in files {
        for document in documents(&path) {
            let crictl = path.ends_with("crictl.yaml");
            assert!(crictl || document["kind"].is_string() && document["apiVersion"].is_string(), "{}", path.display());
        }
    }
}

#[test]
fn the_examples_are_taken_by_the_directory_source() {
    let files = files(&manifests().join("examples"), "yaml");
    assert!(!files.is_empty(), "no examples");
    for path in files.into_iter().chain([root().join("tests/demo/other.yaml")]) {
        let text = fs::read_to_string(&path).unwrap();
        let objects = parse(&path.display().to_string(), &text).unwrap_or_else(|e| panic!("{e}"));
        assert!(!objects.is_empty(), "{} holds no object", path.display());
    }
}

fn crd() -> Value {
    documents(&manifests().join("crds/tenant.yaml")).remove(0)
}

/// How the shipped file begins; the rest is generated.
const CRD_HEADER: &str = "\
# The Tenant: which sandbox its pods get, whom they may talk to, what of the node they may have. docs/tenants.md explains each field.
# Made from the types in tenant/core: UPDATE_MANIFESTS=1 cargo test -p cofferdam-arch-tests --test manifests
";

#[test]
fn the_crd_is_what_the_types_say() {
    let generated = tenant_crd().unwrap();
    if std::env::var_os("UPDATE_MANIFESTS").is_some() {
        let yaml = serde_saphyr::to_string(&generated).unwrap();
        fs::write(manifests().join("crds/tenant.yaml"), format!("{CRD_HEADER}{yaml}")).unwrap();
    }
    assert_eq!(crd(), generated, "manifests/crds/tenant.yaml is not what the types of tenant/core say");
}

fn spec_schema() -> Value {
    crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"].clone()
}

/// Every field and every variant that the code takes.
fn full_specs() -> [Value; 2] {
    let ports = json!(["TCP/80", "UDP/53", "SCTP/1"]);
    [
        json!({
            "sandbox": {"minimum": "namespace", "default": "vm"},
            "vm": {"cpu": "500m", "memory": "1.5Gi"},
            "network": {
                "isolation": "Open",
                "allowFrom": [{"tenant": "*", "ports": ports}],
                "allowTo": [
                    {"tenant": "dns", "ports": ports}, {"cidr": "192.0.2.0/24"}, {"node": "own"}, {"dns": true}, {"apiServer": true},
                ],
            },
            "userNamespace": "AsRequested",
            "hostAccess": "Allowed",
        }),
        json!({"sandbox": {"minimum": "vm"}, "network": {"isolation": "Strict"}, "hostAccess": "Denied"}),
    ]
}

#[test]
fn schema_and_code_take_the_same_tenants() {
    let schema = spec_schema();
    for spec in full_specs() {
        assert_eq!(misfits(&schema, &spec, "spec"), Vec::<String>::new());
        let parsed: TenantSpec = serde_json::from_value(spec).unwrap();
        parsed.check().unwrap();
        // What the code writes has every field that it knows.
        assert_eq!(misfits(&schema, &serde_json::to_value(&parsed).unwrap(), "spec"), Vec::<String>::new());
    }
}

#[test]
fn schema_and_code_refuse_the_same_tenants() {
    let schema = spec_schema();
    for spec in [
        json!({"quota": {"pods": 1}}),
        json!({"images": {"allow": []}}),
        json!({"userNamespace": "Required"}),
        json!({"sandbx": {}}),
        json!({"sandbox": {"minimum": "container"}}),
        json!({"network": {"allowFrom": [{}]}}),
        json!({"network": {"allowTo": [{"dns": false}]}}),
    ] {
        assert!(!misfits(&schema, &spec, "spec").is_empty(), "the schema takes {spec}");
        let parsed = serde_json::from_value::<TenantSpec>(spec.clone()).map_err(|e| e.to_string());
        assert!(parsed.and_then(|s| s.check().map_err(|e| e.to_string())).is_err(), "the code takes {spec}");
    }
}

#[test]
fn every_property_of_the_schema_is_known_to_the_code() {
    let [full, _] = full_specs();
    let mut missing = Vec::new();
    unused(&spec_schema(), &[&full], "spec", &mut missing);
    assert!(missing.is_empty(), "in the schema, but not in the full example: {missing:?}");
}

fn unused(schema: &Value, values: &[&Value], path: &str, missing: &mut Vec<String>) {
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        let inner: Vec<&Value> = values.iter().filter_map(|value| value.get(name)).collect();
        if inner.is_empty() {
            missing.push(format!("{path}.{name}"));
        }
        unused(schema, &inner, &format!("{path}.{name}"), missing);
        let items: Vec<&Value> = inner.iter().filter_map(|value| value.as_array()).flatten().collect();
        unused(&schema["items"], &items, &format!("{path}.{name}[]"), missing);
    }
}

#[test]
fn runtime_classes_name_the_handlers() {
    let classes = documents(&manifests().join("runtimeclasses.yaml"));
    let pairs: Vec<(&str, &str)> = classes
        .iter()
        .map(|class| (class["metadata"]["name"].as_str().unwrap(), class["handler"].as_str().unwrap()))
        .collect();
    assert_eq!(pairs, [("cofferdam-namespace", "namespace"), ("cofferdam-vm", "vm")]);
}

#[test]
fn the_overhead_is_what_the_runtime_takes_off_the_limit() {
    let source = fs::read_to_string(root().join("sandbox/vm/src/size.rs")).unwrap();
    let reserve = source.lines().find_map(|l| l.strip_prefix("pub const RESERVE: u64 = ")?.strip_suffix(" * MIB;"));
    let vm = documents(&manifests().join("runtimeclasses.yaml")).remove(1);
    assert_eq!(vm["overhead"]["podFixed"]["memory"], format!("{}Mi", reserve.unwrap()));
}

#[test]
fn bindings_name_their_policies() {
    for path in files(&manifests().join("admission"), "yaml") {
        let objects = documents(&path);
        let policy = objects[0]["metadata"]["name"].as_str().unwrap();
        assert_eq!(objects[1]["spec"]["policyName"], policy, "{}", path.display());
        assert_eq!(objects[1]["kind"].as_str().unwrap(), format!("{}Binding", objects[0]["kind"].as_str().unwrap()));
    }
}

#[test]
fn kubelet_and_crictl_find_the_default_socket() {
    let socket = "unix:///run/cofferdam/cofferdam.sock";
    let kubelet = documents(&manifests().join("kubelet/config.yaml")).remove(0);
    assert_eq!(kubelet["containerRuntimeEndpoint"], socket);
    assert_eq!(kubelet["featureGates"]["PodAndContainerStatsFromCRI"], true);
    let crictl = documents(&manifests().join("crictl.yaml")).remove(0);
    assert_eq!((&crictl["runtime-endpoint"], &crictl["image-endpoint"]), (&json!(socket), &json!(socket)));
}

#[test]
fn the_unit_is_notified_and_leaves_the_pods_alone() {
    let unit = fs::read_to_string(manifests().join("systemd/cofferdam.service")).unwrap();
    for line in ["Type=notify", "KillMode=process", "Delegate=yes", "ExecStart=/usr/local/bin/cofferdam serve"] {
        assert!(unit.lines().any(|l| l == line), "{line}");
    }
}
