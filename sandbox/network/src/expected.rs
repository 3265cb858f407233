//! What the host's network should have because of us, and which news of the kernel say that it no longer has it. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use cofferdam_sandbox::Lease;
use ipnetwork::IpNetwork;

use crate::ipam::node_address;
use crate::route::{Link, ip};
use crate::wire::{find, number};

/// A pod's link that is up.
#[derive(Debug, Clone)]
pub(crate) struct UpLink {
    pub lease: Lease,
    /// Index of its host's end.
    pub index: u32,
    /// Where its other end is, as far as this daemon knows.
    pub netns: Option<PathBuf>,
}

/// The whole of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Expected {
    /// Pod CIDRs, those that pods still have from before too.
    pub cidrs: Vec<IpNetwork>,
    /// Links by the sandbox.
    pub links: BTreeMap<String, UpLink>,
}

/// A message that the kernel sent to whoever listens: its type and what follows the header.
pub(crate) struct News<'a> {
    pub kind: u16,
    pub body: &'a [u8],
}

/// netlink's types and attributes that libc does not name.
mod name {
    pub const NEWNETCONF: u16 = 80;
    pub const NETCONF_IFINDEX: u16 = 1;
    pub const NETCONF_FORWARDING: u16 = 2;
    pub const NETCONF_RP_FILTER: u16 = 3;
    pub const LOCAL: u16 = 2;
    pub const ADDRESS: u16 = 1;
}

impl Expected {
    /// The node's own address that what it sends to this pod address comes from.
    pub fn source_of(&self, address: IpAddr) -> Option<IpAddr> {
        self.cidrs.iter().find(|cidr| cidr.contains(address)).map(|cidr| node_address(*cidr))
    }

    /// Whose addresses these are.
    fn lease_of(&self, address: IpAddr) -> Option<&Lease> {
        self.links.values().map(|link| &link.lease).find(|lease| lease.addresses.contains(&address))
    }

    /// What is wrong now, if this is about something of ours.
    pub fn harmed_by(&self, news: &News<'_>) -> Option<String> {
        let News { kind, body } = news;
        match *kind {
            libc::RTM_DELADDR => self.lost_address(body),
            libc::RTM_DELROUTE | libc::RTM_NEWROUTE => self.other_route(body, *kind == libc::RTM_DELROUTE),
            libc::RTM_DELLINK | libc::RTM_NEWLINK => self.other_link(body, *kind == libc::RTM_DELLINK),
            libc::RTM_DELNEIGH => self.lost_neighbour(body),
            name::NEWNETCONF => self.other_setting(body),
            _ => None,
        }
    }

    fn lost_address(&self, body: &[u8]) -> Option<String> {
        let attributes = body.get(8..)?;
        let address = find(attributes, name::LOCAL).or_else(|| find(attributes, name::ADDRESS));
        let address = address.and_then(ip)?;
        let ours = self.cidrs.iter().any(|cidr| node_address(*cidr) == address);
        ours.then(|| format!("the node's address {address} is gone"))
    }

    fn other_route(&self, body: &[u8], gone: bool) -> Option<String> {
        const MAIN: u8 = 254;
        let (family, length, table, kind) = (*body.first()?, *body.get(1)?, *body.get(4)?, *body.get(7)?);
        let attributes = body.get(12..)?;
        if table != MAIN || ![libc::AF_INET as u8, libc::AF_INET6 as u8].contains(&family) {
            return None;
        }
        let to = IpNetwork::new(find(attributes, libc::RTA_DST).and_then(ip)?, length).ok()?;
        let is_blackhole = kind == libc::RTN_BLACKHOLE;
        if self.cidrs.contains(&to) && (gone == is_blackhole) {
            return Some(format!("the blackhole route of {to} is gone"));
        }
        let host = if to.is_ipv4() { 32 } else { 128 };
        let lease = self.lease_of(to.ip()).filter(|_| to.prefix() == host)?;
        let changed = gone || is_blackhole || find(attributes, libc::RTA_OIF).is_none();
        changed.then(|| format!("the route of {} to {} is gone", lease.sandbox, to.ip()))
    }

    fn other_link(&self, body: &[u8], gone: bool) -> Option<String> {
        let link = Link::parse(body)?;
        if link.name == "lo" && !link.is_up() {
            return Some("lo is down".to_owned());
        }
        let ours = self.links.values().find(|ours| ours.lease.interface == link.name)?;
        let harmed = gone || !link.is_up();
        harmed.then(|| {
            format!("the link {} of {} is {}", link.name, ours.lease.sandbox, if gone { "gone" } else { "down" })
        })
    }

    fn lost_neighbour(&self, body: &[u8]) -> Option<String> {
        let address = find(body.get(12..)?, libc::NDA_DST).and_then(ip)?;
        let lease = self.lease_of(address)?;
        Some(format!("the neighbour {address} of {} is gone", lease.sandbox))
    }

    /// Forwarding that was switched off, or a check of source addresses that was changed. A link that is not up yet is
    /// still being given its settings.
    fn other_setting(&self, body: &[u8]) -> Option<String> {
        const ALL: u32 = u32::MAX;
        let attributes = body.get(4..)?;
        let index = find(attributes, name::NETCONF_IFINDEX).and_then(number)?;
        let ours = self.links.values().any(|link| link.index == index);
        match find(attributes, name::NETCONF_FORWARDING).and_then(number) {
            Some(0) if ours || index == ALL => Some("forwarding is off".to_owned()),
            Some(_) => None,
            None => {
                find(attributes, name::NETCONF_RP_FILTER).filter(|_| ours).map(|_| "rp_filter was changed".to_owned())
            }
        }
    }
}
