//! The host's side that all pods share: forwarding, the node's own addresses, the blackhole for what no pod has.

use std::io;
use std::path::Path;

use cofferdam_sandbox::NetworkError;
use ipnetwork::IpNetwork;

use crate::ipam::node_address;
use crate::netlink::Netlink;
use crate::route::{self, Route};

/// Sets a sysctl below /proc/sys/net of the calling thread's network namespace, unless it has this value.
pub fn sysctl(name: &str, value: &str) -> Result<(), NetworkError> {
    let path = format!("/proc/sys/net/{name}");
    // Some settings do something at every write.
    if std::fs::read_to_string(&path).is_ok_and(|now| now.trim() == value) {
        return Ok(());
    }
    std::fs::write(&path, value).map_err(|e| NetworkError::failed(format!("write {value} to {path}"), e))
}

/// A setting that only an IPv6 kernel has.
pub fn sysctl6(name: &str, value: &str) -> Result<(), NetworkError> {
    if Path::new("/proc/sys/net/ipv6").exists() { sysctl(name, value) } else { Ok(()) }
}

fn step<T>(what: impl Into<String>, result: io::Result<T>) -> Result<T, NetworkError> {
    result.map_err(|e| NetworkError::failed(what, e))
}

/// Makes the host forward between pods and gives it its own address in each CIDR. Again is fine.
pub fn prepare(cidrs: &[IpNetwork]) -> Result<(), NetworkError> {
    sysctl("ipv4/ip_forward", "1")?;
    sysctl6("ipv6/conf/all/forwarding", "1")?;
    let mut netlink = step("open a netlink socket", Netlink::route())?;
    let lo = loopback(&mut netlink)?;
    step("set lo up", route::set_up(&mut netlink, lo))?;
    let there = step("read the addresses of lo", route::addresses(&mut netlink, lo))?;
    for cidr in cidrs {
        let node = node_address(*cidr);
        if !there.contains(&node) {
            step(format!("give lo the address {node}"), route::add_address(&mut netlink, lo, node))?;
        }
        step(format!("set the blackhole route of {cidr}"), blackhole(*cidr).set(&mut netlink))?;
    }
    Ok(())
}

/// Takes away what [`prepare`] gave for a CIDR that no pod uses any more; the node's address in it only where no
/// other CIDR has the same.
pub fn retire(cidr: IpNetwork, keep_node_address: bool) -> Result<(), NetworkError> {
    let mut netlink = step("open a netlink socket", Netlink::route())?;
    let lo = loopback(&mut netlink)?;
    step(format!("delete the blackhole route of {cidr}"), blackhole(cidr).delete(&mut netlink))?;
    if keep_node_address {
        return Ok(());
    }
    step(format!("take {} from lo", node_address(cidr)), route::delete_address(&mut netlink, lo, node_address(cidr)))
}

fn blackhole(cidr: IpNetwork) -> Route {
    Route { to: cidr, link: None, gateway: None, source: None }
}

fn loopback(netlink: &mut Netlink) -> Result<u32, NetworkError> {
    match step("read lo", route::link(netlink, "lo"))? {
        Some(lo) => Ok(lo.index),
        None => Err(NetworkError::Precondition("this network namespace has no loopback interface".into())),
    }
}

/// The same, for whoever tells what failed.
pub fn mtu(netlink: &mut Netlink) -> Result<u32, NetworkError> {
    step("read the uplink's MTU", uplink_mtu(netlink))
}

/// MTU of the link to the outside; 1500 if there is none.
fn uplink_mtu(netlink: &mut Netlink) -> io::Result<u32> {
    let Some(index) = route::uplink(netlink)? else { return Ok(1500) };
    Ok(route::link_by_index(netlink, index)?.map_or(1500, |link| link.mtu))
}
