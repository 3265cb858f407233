//! The pod's end of a link: in a network namespace for a veth, in the guest for a tap.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use cofferdam_pod_api::GuestLink;
use ipnetwork::IpNetwork;

use crate::netlink::Netlink;
use crate::route::{self, Route};

/// Name of the interface in the pod.
pub const POD_INTERFACE: &str = "eth0";

/// What is set at the pod's end.
pub(crate) struct PodEnd {
    pub addresses: Vec<IpAddr>,
    pub gateways: Vec<IpAddr>,
    pub gateway_mac: [u8; 6],
}

/// Addresses, gateways and routes inside the pod. Its end goes up here: nothing passes before the host's does.
pub(crate) fn configure(netlink: &mut Netlink, name: &str, end: &PodEnd) -> io::Result<()> {
    let find = |netlink: &mut Netlink, name: &str| {
        route::link(netlink, name)?.ok_or_else(|| io::Error::from_raw_os_error(libc::ENODEV))
    };
    let lo = find(netlink, "lo")?.index;
    route::set_up(netlink, lo)?;
    let eth = find(netlink, name)?.index;
    if Path::new("/proc/sys/net/ipv6").exists() {
        for (setting, value) in
            [("addr_gen_mode", "1"), ("accept_ra", "0"), ("accept_redirects", "0"), ("accept_dad", "0")]
        {
            std::fs::write(format!("/proc/sys/net/ipv6/conf/{name}/{setting}"), value)?;
        }
    }
    route::set_up(netlink, eth)?;
    for address in &end.addresses {
        route::add_address(netlink, eth, *address)?;
    }
    for gateway in &end.gateways {
        route::set_neighbour(netlink, eth, *gateway, end.gateway_mac)?;
        let unspecified =
            if gateway.is_ipv6() { IpAddr::V6(Ipv6Addr::UNSPECIFIED) } else { IpAddr::V4(Ipv4Addr::UNSPECIFIED) };
        let everything = IpNetwork::new(unspecified, 0).map_err(io::Error::other)?;
        let source = end.addresses.iter().find(|a| a.is_ipv6() == gateway.is_ipv6()).copied();
        Route { to: everything, link: Some(eth), gateway: Some(*gateway), source }.set(netlink)?;
    }
    Ok(())
}

/// Configures the guest that calls: lo, and the interface with the MAC address of the link, which becomes
/// [`POD_INTERFACE`]. Calling it again changes nothing.
///
/// # Errors
/// `NotFound` when no interface has that MAC address; the kernel's refusals, with the step that was refused.
pub fn configure_guest(link: Option<&GuestLink>) -> io::Result<()> {
    let failed = |what: &'static str| move |e: io::Error| io::Error::new(e.kind(), format!("{what}: {e}"));
    let mut netlink = Netlink::route().map_err(failed("open a netlink socket"))?;
    let links = route::links(&mut netlink).map_err(failed("list the links"))?;
    let Some(link) = link else {
        let lo = links.iter().find(|l| l.name == "lo").map_or(1, |l| l.index);
        return route::set_up(&mut netlink, lo).map_err(failed("set lo up"));
    };
    let Some(found) = links.iter().find(|l| l.mac == link.mac) else {
        let have: Vec<String> = links.iter().map(|l| format!("{} {}", l.name, mac(&l.mac))).collect();
        let reason = format!("no interface has the MAC address {}, there are: {}", mac(&link.mac), have.join(", "));
        return Err(io::Error::new(io::ErrorKind::NotFound, reason));
    };
    if found.name != POD_INTERFACE {
        route::rename(&mut netlink, found.index, POD_INTERFACE).map_err(failed("name the interface"))?;
    }
    route::set_guest_link(&mut netlink, found.index, link.mtu).map_err(failed("set MTU and flags of the interface"))?;
    let end =
        PodEnd { addresses: link.addresses.clone(), gateways: link.gateways.clone(), gateway_mac: link.gateway_mac };
    configure(&mut netlink, POD_INTERFACE, &end).map_err(failed("configure the interface"))
}

fn mac(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_mac_address_is_written_as_usual() {
        assert_eq!(super::mac(&[0x52, 0x54, 0, 0xa, 1, 0xff]), "52:54:00:0a:01:ff");
    }
}
