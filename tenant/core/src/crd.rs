//! The CustomResourceDefinition of Tenants, made from the types.

use kube::CustomResourceExt as _;
use serde_json::{Value, json};

use crate::spec::TenantResource;
use crate::{DEFAULT_TENANT, SYSTEM_TENANT};

/// The CRD as it is shipped in `manifests/crds/tenant.yaml`.
///
/// # Errors
/// The types of `k8s-openapi` cannot be written as JSON.
pub fn tenant_crd() -> Result<Value, serde_json::Error> {
    let mut crd = serde_json::to_value(TenantResource::crd())?;
    let schema = &mut crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    trim(schema);
    if let Some(schema) = schema.as_object_mut() {
        // A Tenant without a spec has all defaults.
        schema.remove("required");
        let rule = format!("!(self.metadata.name in ['{DEFAULT_TENANT}', '{SYSTEM_TENANT}'])");
        let message = "the tenants default and system are written in the node's configuration";
        schema.insert("x-kubernetes-validations".into(), json!([{"rule": rule, "message": message}]));
    }
    Ok(crd)
}

/// Leaves out what the shipped schema does not say. The API server prunes nulls and refuses unknown fields without
/// being told, and a default is written only where it is a single value.
fn trim(schema: &mut Value) {
    let Some(fields) = schema.as_object_mut() else { return };
    fields.remove("nullable");
    fields.remove("additionalProperties");
    if fields.get("default").is_some_and(|default| !default.is_string()) {
        fields.remove("default");
    }
    if let Some(Value::Array(values)) = fields.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    if let Some(Value::Object(properties)) = fields.get_mut("properties") {
        properties.values_mut().for_each(trim);
    }
    if let Some(items) = fields.get_mut("items") {
        trim(items);
    }
}
