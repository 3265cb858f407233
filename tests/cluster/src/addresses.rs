//! Where things are in the cluster.

use cofferdam_test_support::UPLINK_V4;

/// The port of the API server, on the node's address.
pub const API_PORT: u16 = 6443;
/// The addresses of pods; kubelet is given the node's part of it.
pub const POD_CIDR: &str = "10.88.0.0/16";
/// The addresses of Services.
pub const SERVICE_CIDR: &str = "10.96.0.0/16";
/// The Service `kubernetes`: the first address.
pub const API_SERVICE: &str = "10.96.0.1";
/// The Service of the cluster's DNS.
pub const DNS_SERVICE: &str = "10.96.0.10";
/// The suffix of the names that it answers.
pub const DNS_DOMAIN: &str = "cluster.local";
/// etcd, on the node's loopback address.
pub const ETCD: &str = "http://127.0.0.1:2379";

/// `https://ADDRESS:PORT` of the API server.
pub fn api_url() -> String {
    format!("https://{UPLINK_V4}:{API_PORT}")
}
