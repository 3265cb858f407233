//! One pod's link: made down at the host's end, configured at the pod's, set up last.
//!
//! Neighbours are permanent and the links have no ARP, so neither end can be told a lie. The host's end gets no
//! address; the pod's gateways are link-local and exist as neighbours only.

use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use cofferdam_sandbox::{Lease, NetworkError, PodLink};
use ipnetwork::IpNetwork;

use crate::host::{sysctl, sysctl6};
use crate::netlink::Netlink;
use crate::pod::{self, POD_INTERFACE, PodEnd};
use crate::route::{self, End, Route};

fn failed(lease: &Lease, what: &str) -> impl FnOnce(io::Error) -> NetworkError {
    let step = format!("{what} for {} ({})", lease.sandbox, lease.interface);
    move |e| NetworkError::failed(step, e)
}

/// The gateway of a family: an address that exists on no other link.
fn gateway(v6: bool) -> IpAddr {
    if v6 { IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1)) } else { IpAddr::V4(Ipv4Addr::new(169, 254, 1, 1)) }
}

/// What the pod's end must be told.
pub fn pod_link(lease: &Lease, mtu: u32) -> PodLink {
    PodLink {
        name: POD_INTERFACE.to_owned(),
        lease: lease.clone(),
        addresses: lease.addresses.iter().map(|a| IpNetwork::from(*a)).collect(),
        gateways: lease.addresses.iter().map(|a| gateway(a.is_ipv6())).collect(),
        mtu,
    }
}

fn pod_end(link: &PodLink) -> PodEnd {
    let addresses = link.addresses.iter().map(|a| a.ip()).collect();
    PodEnd { addresses, gateways: link.gateways.clone(), gateway_mac: link.lease.gateway_mac }
}

/// Makes the veth pair and configures its end in the namespace at `netns`. One that is there already is completed.
pub fn attach_veth(lease: &Lease, netns: &Path, mtu: u32) -> Result<PodLink, NetworkError> {
    let mut netlink = Netlink::route().map_err(failed(lease, "open a netlink socket"))?;
    let target = File::open(netns)
        .map_err(|e| NetworkError::failed(format!("open the network namespace {}", netns.display()), e))?;
    let link = pod_link(lease, mtu);
    let existing = route::link(&mut netlink, &lease.interface).map_err(failed(lease, "read the link"))?;
    if existing.is_some()
        && !inside(lease, target.as_fd(), |netlink| Ok(route::link(netlink, POD_INTERFACE)?.is_some()))?
    {
        // A link of this lease whose other end is elsewhere: left by an attempt to a namespace that was replaced.
        route::delete_link(&mut netlink, &lease.interface).map_err(failed(lease, "delete the old link"))?;
    }
    if route::link(&mut netlink, &lease.interface).map_err(failed(lease, "read the link"))?.is_none() {
        let host = End { name: &lease.interface, mac: lease.gateway_mac };
        let pod = End { name: POD_INTERFACE, mac: lease.mac };
        route::add_veth(&mut netlink, &host, &pod, target.as_fd(), mtu).map_err(failed(lease, "make the veth pair"))?;
    }
    harden(&lease.interface)?;
    let told = link.clone();
    inside(lease, target.as_fd(), move |netlink| pod::configure(netlink, &told.name, &pod_end(&told)))?;
    Ok(link)
}

/// Opens the tap, down.
pub fn attach_tap(lease: &Lease, mtu: u32) -> Result<(PodLink, OwnedFd), NetworkError> {
    let tap = cofferdam_sys::tap::open(&lease.interface).map_err(failed(lease, "open the tap"))?;
    let mut netlink = Netlink::route().map_err(failed(lease, "open a netlink socket"))?;
    let index = index(&mut netlink, lease)?;
    route::set_tap(&mut netlink, index, lease.gateway_mac, mtu).map_err(failed(lease, "configure the tap"))?;
    harden(&lease.interface)?;
    Ok((pod_link(lease, mtu), tap))
}

/// Settings of the host's end while it is down.
pub(crate) fn harden(interface: &str) -> Result<(), NetworkError> {
    for (name, value) in [
        ("rp_filter", "1"),
        ("accept_redirects", "0"),
        ("send_redirects", "0"),
        ("proxy_arp", "0"),
        ("route_localnet", "0"),
    ] {
        sysctl(&format!("ipv4/conf/{interface}/{name}"), value)?;
    }
    for (name, value) in
        [("addr_gen_mode", "1"), ("accept_ra", "0"), ("accept_redirects", "0"), ("accept_dad", "0"), ("proxy_ndp", "0")]
    {
        sysctl6(&format!("ipv6/conf/{interface}/{name}"), value)?;
    }
    Ok(())
}

/// Sets the host's end up and routes the pod's addresses to it; `source` is the node's own address of the same family.
/// Returns the index of the host's end.
pub fn up(lease: &Lease, source: impl Fn(IpAddr) -> Option<IpAddr>) -> Result<u32, NetworkError> {
    let mut netlink = Netlink::route().map_err(failed(lease, "open a netlink socket"))?;
    let index = index(&mut netlink, lease)?;
    for address in &lease.addresses {
        route::set_neighbour(&mut netlink, index, *address, lease.mac).map_err(failed(lease, "set the neighbour"))?;
    }
    route::set_up(&mut netlink, index).map_err(failed(lease, "set the link up"))?;
    for address in &lease.addresses {
        let route = Route { to: IpNetwork::from(*address), link: Some(index), gateway: None, source: source(*address) };
        route.set(&mut netlink).map_err(failed(lease, "set the route"))?;
    }
    if let Err(error) = route::settle_peer(&mut netlink, index) {
        tracing::debug!(interface = lease.interface, %error, "the pod's first packets may be lost");
    }
    Ok(index)
}

fn index(netlink: &mut Netlink, lease: &Lease) -> Result<u32, NetworkError> {
    match route::link(netlink, &lease.interface).map_err(failed(lease, "read the link"))? {
        Some(link) => Ok(link.index),
        None => {
            Err(NetworkError::failed(format!("find {} of {}", lease.interface, lease.sandbox), "there is no such link"))
        }
    }
}

/// Runs in another network namespace, in a thread that ends afterwards: one of the runtime would stay there.
fn inside<T: Send>(
    lease: &Lease,
    netns: BorrowedFd<'_>,
    job: impl FnOnce(&mut Netlink) -> io::Result<T> + Send,
) -> Result<T, NetworkError> {
    let result = std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            nix::sched::setns(netns, nix::sched::CloneFlags::CLONE_NEWNET)?;
            job(&mut Netlink::route()?)
        });
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread in the pod's namespace panicked")))
    });
    result.map_err(failed(lease, "configure the pod's end"))
}
