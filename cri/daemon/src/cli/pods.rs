//! `pods`.

use cofferdam_admin_api::v1::{Pod, PodsRequest};
use serde::Serialize;

use super::connect::Clients;
use super::error::CliError;
use super::output::{Format, Show, age, short, show, table, time};

/// A pod as programs read it; scripts rely on these names.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct View {
    id: String,
    namespace: String,
    name: String,
    tenant: String,
    sandbox: String,
    state: String,
    shim_pid: Option<u32>,
    vmm_pid: Option<u32>,
    virtiofsd_pid: Option<u32>,
    netns: Option<String>,
    addresses: Vec<String>,
    created_at: String,
    #[serde(skip)]
    created: i64,
}

impl From<Pod> for View {
    fn from(pod: Pod) -> Self {
        let pid = |pid: u32| (pid != 0).then_some(pid);
        View {
            id: pod.id,
            namespace: pod.namespace,
            name: pod.name,
            tenant: pod.tenant,
            sandbox: pod.sandbox,
            state: pod.state,
            shim_pid: pid(pod.shim_pid),
            vmm_pid: pid(pod.vmm_pid),
            virtiofsd_pid: pid(pod.virtiofsd_pid),
            netns: (!pod.netns.is_empty()).then_some(pod.netns),
            addresses: pod.addresses,
            created_at: time(pod.created_at),
            created: pod.created_at,
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Views(Vec<View>);

impl Show for Views {
    fn text(&self) -> String {
        let header = ["NAMESPACE", "NAME", "TENANT", "SANDBOX", "STATE", "ADDRESS", "AGE", "ID"];
        let row = |p: &View| {
            let of = |text: &str| text.to_owned();
            let address = p.addresses.join(",");
            vec![
                of(&p.namespace),
                of(&p.name),
                of(&p.tenant),
                of(&p.sandbox),
                of(&p.state),
                address,
                age(p.created),
                short(&p.id),
            ]
        };
        table(&header, self.0.iter().map(row))
    }
}

/// Runs it.
pub async fn run(mut clients: Clients, format: Format) -> Result<u8, CliError> {
    let mut pods = clients.admin.pods(PodsRequest {}).await?.into_inner().pods;
    pods.sort_by(|a, b| (&a.namespace, &a.name, a.created_at).cmp(&(&b.namespace, &b.name, b.created_at)));
    show(&Views(pods.into_iter().map(View::from).collect()), format)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_find_the_fixed_names_and_null_for_what_is_not_there() {
        let pod = Pod {
            id: "i".into(),
            sandbox: "vm".into(),
            shim_pid: 7,
            vmm_pid: 8,
            netns: "/n".into(),
            ..Default::default()
        };
        let json = serde_json::to_value(Views(vec![pod.into()])).unwrap();
        let pod = &json[0];
        assert_eq!(
            (pod["id"].as_str(), pod["sandbox"].as_str(), pod["netns"].as_str()),
            (Some("i"), Some("vm"), Some("/n"))
        );
        assert_eq!((pod["shimPid"].as_u64(), pod["vmmPid"].as_u64()), (Some(7), Some(8)));
        assert!(pod["virtiofsdPid"].is_null());
        for key in ["namespace", "name", "tenant", "virtiofsdPid"] {
            assert!(pod.as_object().unwrap().contains_key(key), "{key}");
        }
    }

    #[test]
    fn people_see_a_line_a_pod() {
        let pod = Pod {
            namespace: "acme".into(),
            name: "web".into(),
            addresses: vec!["10.88.0.2".into()],
            ..Default::default()
        };
        let text = Views(vec![pod.into()]).text();
        assert!(text.lines().count() == 2 && text.contains("acme") && text.contains("10.88.0.2"), "{text}");
    }
}
