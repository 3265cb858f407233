//! Deletes the flows of addresses that a pod had, so that the next owner of an address inherits none.

use std::collections::HashSet;
use std::io;
use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::netlink::Netlink;
use crate::wire::{attributes, find};

/// NFNL_SUBSYS_CTNETLINK with IPCTNL_MSG_CT_GET and _DELETE.
const GET: u16 = (1 << 8) | 1;
const DELETE: u16 = (1 << 8) | 2;
/// CTA_*.
const TUPLE_ORIG: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const TUPLE_IP: u16 = 1;
const ID: u16 = 12;
const ZONE: u16 = 18;
const NESTED: u16 = 0x8000;

/// Deletes each flow that has one of these addresses in either tuple; gives their number.
pub fn delete(addresses: &[IpAddr]) -> io::Result<usize> {
    let wanted: HashSet<IpAddr> = addresses.iter().copied().collect();
    let families = [false, true].map(|v6| addresses.iter().any(|a| a.is_ipv6() == v6));
    delete_where(families, |address| wanted.contains(&address))
}

/// Deletes each flow of an address in these networks that nobody has: what a pod that ended with the daemon left would
/// be answered as if the address's next owner had asked.
pub fn delete_unowned(cidrs: &[IpNetwork], owned: &HashSet<IpAddr>) -> io::Result<usize> {
    let families = [false, true].map(|v6| cidrs.iter().any(|c| c.is_ipv6() == v6));
    delete_where(families, |address| !owned.contains(&address) && cidrs.iter().any(|c| c.contains(address)))
}

/// Looks at the flows of IPv4 and IPv6, where wanted.
fn delete_where(families: [bool; 2], wanted: impl Fn(IpAddr) -> bool) -> io::Result<usize> {
    let mut netlink = Netlink::netfilter()?;
    let mut flows = Vec::new();
    for (family, _) in [libc::AF_INET as u8, libc::AF_INET6 as u8].into_iter().zip(families).filter(|(_, asked)| *asked)
    {
        netlink.list(GET, &[family, 0, 0, 0], |body| flows.extend(matching(body, &wanted)))?;
    }
    for flow in &flows {
        let result = netlink.change(DELETE, 0, &[flow.family, 0, 0, 0], |m| {
            let m = m.attr(TUPLE_ORIG | NESTED, &flow.original);
            flow.rest.iter().fold(m, |m, (kind, value)| m.attr(*kind, value))
        });
        match result {
            // Ended meanwhile.
            Err(e) if e.raw_os_error() == Some(libc::ENOENT) => {}
            other => other?,
        }
    }
    Ok(flows.len())
}

struct Flow {
    family: u8,
    original: Vec<u8>,
    /// Id and zone: without them another flow of the same tuple could be hit.
    rest: Vec<(u16, Vec<u8>)>,
}

fn matching(body: &[u8], wanted: &impl Fn(IpAddr) -> bool) -> Option<Flow> {
    let list = body.get(4..)?;
    let touches = |tuple: u16| {
        find(list, tuple)
            .and_then(|t| find(t, TUPLE_IP))
            .is_some_and(|ip| attributes(ip).any(|(_, octets)| address(octets).is_some_and(wanted)))
    };
    if !touches(TUPLE_ORIG) && !touches(TUPLE_REPLY) {
        return None;
    }
    let rest = attributes(list)
        .filter(|(kind, _)| [ID, ZONE].contains(kind))
        .map(|(kind, value)| (kind, value.to_vec()))
        .collect();
    Some(Flow { family: *body.first()?, original: find(list, TUPLE_ORIG)?.to_vec(), rest })
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    match octets.len() {
        4 => <[u8; 4]>::try_from(octets).ok().map(IpAddr::from),
        _ => <[u8; 16]>::try_from(octets).ok().map(IpAddr::from),
    }
}
