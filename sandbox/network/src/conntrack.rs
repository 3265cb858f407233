//! Deletes the flows of addresses that a pod had, so that the next owner of an address inherits none.

use std::collections::HashSet;
use std::io;
use std::net::IpAddr;

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
    let wanted: HashSet<Vec<u8>> = addresses.iter().map(|a| octets(*a)).collect();
    let mut netlink = Netlink::netfilter()?;
    let mut flows = Vec::new();
    for family in [libc::AF_INET as u8, libc::AF_INET6 as u8] {
        if !addresses.iter().any(|a| a.is_ipv6() == (i32::from(family) == libc::AF_INET6)) {
            continue;
        }
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

fn matching(body: &[u8], wanted: &HashSet<Vec<u8>>) -> Option<Flow> {
    let list = body.get(4..)?;
    let touches = |tuple: u16| {
        find(list, tuple)
            .and_then(|t| find(t, TUPLE_IP))
            .is_some_and(|ip| attributes(ip).any(|(_, address)| wanted.contains(address)))
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

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(a) => a.octets().to_vec(),
        IpAddr::V6(a) => a.octets().to_vec(),
    }
}
