//! `tenants`.

use cofferdam_admin_api::v1::{Tenant, TenantsRequest};
use serde::Serialize;

use super::connect::Clients;
use super::error::CliError;
use super::output::{Format, Show, show, table};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct View {
    name: String,
    namespaces: Vec<String>,
    minimum: String,
    default: String,
    isolation: String,
    host_access: String,
    pods: u32,
}

impl From<Tenant> for View {
    fn from(t: Tenant) -> Self {
        View {
            name: t.name,
            namespaces: t.namespaces,
            minimum: t.minimum,
            default: t.default,
            isolation: t.isolation,
            host_access: t.host_access,
            pods: t.pods,
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Views(Vec<View>);

impl Show for Views {
    fn text(&self) -> String {
        let row = |t: &View| {
            let of = |text: &str| text.to_owned();
            let pods = t.pods.to_string();
            vec![
                of(&t.name),
                t.namespaces.join(","),
                of(&t.minimum),
                of(&t.default),
                of(&t.isolation),
                of(&t.host_access),
                pods,
            ]
        };
        table(&["NAME", "NAMESPACES", "MINIMUM", "DEFAULT", "ISOLATION", "HOST ACCESS", "PODS"], self.0.iter().map(row))
    }
}

/// Runs it.
pub async fn run(mut clients: Clients, format: Format) -> Result<u8, CliError> {
    let tenants = clients.admin.tenants(TenantsRequest {}).await?.into_inner().tenants;
    show(&Views(tenants.into_iter().map(View::from).collect()), format)
}
