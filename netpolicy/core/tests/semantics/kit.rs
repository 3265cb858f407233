//! A small cluster to ask: one node (10.88.0.0/24, 192.168.0.10), everything else through `eth0`.

use std::net::IpAddr;
use std::sync::Arc;

use cofferdam_netpolicy::evaluate::{Flow, explain};
use cofferdam_netpolicy::ir::{Ruleset, proto};
use cofferdam_netpolicy::policy::NetworkPolicy;
use cofferdam_netpolicy::topology::Topology;
use cofferdam_netpolicy::{Explanation, LocalPod, NodeConfig, PolicySnapshot, Verdict, compile};
use cofferdam_tenant::{DEFAULT_TENANT, Protocol, SYSTEM_TENANT, TENANT_LABEL};
use cofferdam_tenant_cluster::{ClusterFacts, ClusterPod, ContainerPort, Labels};

use crate::kernel::{Packet, passes};

/// What a flow is about, beside its ends.
pub type Port = Option<(Protocol, u16)>;

pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub fn labels(text: &str) -> Labels {
    text.split_whitespace().map(|l| l.split_once('=').unwrap()).map(|(k, v)| (k.into(), v.into())).collect()
}

/// `TCP/80`, or `ICMP`.
pub fn port(text: &str) -> Port {
    let (protocol, port) = text.split_once('/')?;
    let protocol =
        [Protocol::Tcp, Protocol::Udp, Protocol::Sctp]["TCP UDP SCTP".split(' ').position(|p| p == protocol)?];
    Some((protocol, port.parse().unwrap()))
}

#[derive(Debug, Clone)]
pub struct Cluster {
    pub snapshot: PolicySnapshot,
    pub node: NodeConfig,
    pub local: Vec<LocalPod>,
}

impl Cluster {
    /// No pods; the tenants `default`, `system` and `acme`, `blue` are Strict.
    pub fn new() -> Self {
        let tenants = [DEFAULT_TENANT, SYSTEM_TENANT, "acme", "blue"].map(|n| (n.to_owned(), Arc::default()));
        let networks = |all: &[&str]| all.iter().map(|n| n.parse().unwrap()).collect();
        let node = NodeConfig {
            table: "t".into(),
            interface_prefix: "cfd".into(),
            pod_cidrs: networks(&["10.88.0.0/24", "fd88::/64"]),
            addresses: ["192.168.0.10", "fd00::10", "127.0.0.1"].map(ip).into(),
            nat64_prefixes: Vec::new(),
        };
        let facts = ClusterFacts {
            tenants: tenants.into(),
            node_cidrs: networks(&["192.168.0.0/24", "fd00::/64"]),
            pod_cidrs: networks(&["10.80.0.0/12"]),
            service_cidrs: networks(&["10.96.0.0/16"]),
            api_servers: vec!["192.168.0.1:6443".parse().unwrap()],
            system_namespaces: ["kube-system".to_owned()].into(),
            complete: true,
            ..Default::default()
        };
        let snapshot = PolicySnapshot { facts, policies: Vec::new() };
        let mut cluster = Cluster { snapshot, node, local: Vec::new() };
        cluster.namespace("a", "acme", "team=a").namespace("b", "blue", "team=b").namespace("d", "", "");
        cluster
    }

    pub fn namespace(&mut self, name: &str, tenant: &str, more: &str) -> &mut Self {
        let mut all = labels(more);
        if !tenant.is_empty() {
            all.insert(TENANT_LABEL.into(), tenant.into());
        }
        self.snapshot.facts.namespaces.insert(name.into(), all);
        self
    }

    /// `spec.network` of a tenant.
    pub fn tenant(&mut self, name: &str, network: &str) -> &mut Self {
        let spec = serde_json::from_str(&format!(r#"{{"network": {network}}}"#)).unwrap();
        self.snapshot.facts.tenants.insert(name.into(), Arc::new(spec));
        self
    }

    pub fn policy(&mut self, namespace: &str, spec: &str) -> &mut Self {
        let name = format!("p{}", self.snapshot.policies.len());
        let spec: cofferdam_netpolicy::policy::PolicySpec = serde_json::from_str(spec).unwrap();
        spec.check().unwrap();
        self.snapshot.policies.push(Arc::new(NetworkPolicy { namespace: namespace.into(), name, spec }));
        self
    }

    /// A pod of this node: 10.88.0.N, fd88::N at cfdN.
    pub fn local(&mut self, namespace: &str, n: u8, more: &str) -> &mut Self {
        self.local.push(LocalPod {
            sandbox_id: format!("s{n}"),
            namespace: namespace.into(),
            name: format!("l{n}"),
            uid: format!("u{n}"),
            labels: Some(labels(more)),
            addresses: vec![ip(&format!("10.88.0.{n}")), ip(&format!("fd88::{n:x}"))],
            interface: format!("cfd{n}"),
            tenant: self.snapshot.facts.tenant_of(namespace).unwrap_or_default().into(),
            host_network: false,
            ports: Vec::new(),
        });
        self
    }

    /// A pod of another node: 10.89.0.N.
    pub fn remote(&mut self, namespace: &str, n: u8, more: &str) -> &mut Self {
        self.snapshot.facts.pods.push(ClusterPod {
            namespace: namespace.into(),
            name: format!("r{n}"),
            uid: format!("v{n}"),
            labels: labels(more),
            addresses: vec![ip(&format!("10.89.0.{n}"))],
            ..Default::default()
        });
        self
    }

    pub fn rules(&self) -> Ruleset {
        compile(&self.snapshot, &self.node, &self.local)
    }

    pub fn topology(&self) -> Topology<'_> {
        Topology::new(&self.snapshot, &self.node, &self.local)
    }

    pub fn explain(&self, from: IpAddr, to: IpAddr, port: Port) -> Explanation {
        self.explain_in(&self.topology(), from, to, port)
    }

    fn explain_in(&self, topology: &Topology<'_>, from: IpAddr, to: IpAddr, port: Port) -> Explanation {
        explain(
            topology,
            &Flow { from, to, port, to_own_node: self.node.owns(to), from_own_node: self.node.owns(from) },
        )
    }

    pub fn interface_of(&self, address: IpAddr) -> String {
        let pod = self.local.iter().find(|p| !p.host_network && p.addresses.contains(&address));
        pod.map_or_else(|| "eth0".into(), |p| p.interface.clone())
    }

    /// The first packet of a flow as it reaches a hook of this node.
    pub fn packet(&self, from: IpAddr, to: IpAddr, port: Port) -> Packet {
        let number = |protocol| match protocol {
            Protocol::Tcp => proto::TCP,
            Protocol::Udp => proto::UDP,
            Protocol::Sctp => proto::SCTP,
        };
        let oif = (!self.node.owns(to)).then(|| self.interface_of(to));
        Packet::new(from, to, &self.interface_of(from), oif.as_deref(), port.map(|(p, n)| (number(p), n)))
    }

    /// What this node's share of the decision is, by the evaluator: of an end that is not its own it knows nothing.
    pub fn share(&self, topology: &Topology<'_>, from: IpAddr, to: IpAddr, port: Port) -> bool {
        let here = |address: IpAddr| {
            self.local.iter().any(|p| !p.host_network && p.addresses.contains(&address))
                || self.node.pod_cidrs.iter().any(|c| c.contains(address)) && !self.node.owns(address)
        };
        let all = self.explain_in(topology, from, to, port);
        (!here(from) || all.egress.verdict == Verdict::Allow) && (!here(to) || all.ingress.verdict == Verdict::Allow)
    }

    /// Whether the flow is allowed; the compiled rules must say the same of this node's share.
    #[track_caller]
    pub fn allows(&self, from: &str, to: &str, text: &str) -> bool {
        let (from, to, port) = (ip(from), ip(to), port(text));
        if !self.node.owns(from) {
            let passed = passes(&self.rules(), &self.packet(from, to, port));
            assert_eq!(
                passed,
                self.share(&self.topology(), from, to, port),
                "rules and evaluator differ: {from} to {to} {text}"
            );
        }
        self.explain(from, to, port).verdict == Verdict::Allow
    }
}

pub fn container_port(name: &str, port: u16, protocol: &str) -> ContainerPort {
    ContainerPort { name: name.into(), container_port: port, protocol: protocol.into() }
}

/// Pods of the cluster by their short names: `l2` is 10.88.0.2, `r2` is 10.89.0.2.
#[macro_export]
macro_rules! check {
    ($cluster:expr, $($from:literal -> $to:literal $port:literal = $allowed:literal),+ $(,)?) => {
        $(assert_eq!($cluster.allows($from, $to, $port), $allowed, "{} to {} {}", $from, $to, $port);)+
    };
}
