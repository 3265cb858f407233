//! rtnetlink requests: links, addresses, routes, neighbours.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use ipnetwork::IpNetwork;

use crate::netlink::Netlink;
use crate::wire::{Message, find, number};

const NEW: u16 = (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16;
const REPLACE: u16 = (libc::NLM_F_CREATE | libc::NLM_F_REPLACE) as u16;
const UP: u32 = libc::IFF_UP as u32;
const NOARP: u32 = libc::IFF_NOARP as u32;
/// Table main, protocol static.
const MAIN: u8 = 254;
const STATIC: u8 = 4;

/// A link as the kernel lists it.
#[derive(Debug, Clone)]
pub struct Link {
    pub index: u32,
    pub name: String,
    pub flags: u32,
    pub mtu: u32,
    /// Hardware address; empty where there is none.
    pub mac: Vec<u8>,
    /// rtnl_link_stats64: packets and bytes received and sent, errors.
    pub stats: Vec<u64>,
}

impl Link {
    pub fn is_up(&self) -> bool {
        self.flags & UP != 0
    }

    pub fn parse(body: &[u8]) -> Option<Self> {
        let attributes = body.get(16..)?;
        let name = find(attributes, libc::IFLA_IFNAME)?;
        let stats = find(attributes, libc::IFLA_STATS64).unwrap_or_default();
        Some(Link {
            index: number(body.get(4..)?)?,
            flags: number(body.get(8..)?)?,
            name: String::from_utf8_lossy(name.strip_suffix(&[0]).unwrap_or(name)).into_owned(),
            mtu: find(attributes, libc::IFLA_MTU).and_then(number).unwrap_or(1500),
            mac: find(attributes, libc::IFLA_ADDRESS).unwrap_or_default().to_vec(),
            stats: stats
                .chunks_exact(8)
                .map(|b| u64::from_ne_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]))
                .collect(),
        })
    }
}

fn ifinfo(index: u32, flags: u32, change: u32) -> [u8; 16] {
    let mut fixed = [0; 16];
    fixed[4..8].copy_from_slice(&index.to_ne_bytes());
    fixed[8..12].copy_from_slice(&flags.to_ne_bytes());
    fixed[12..].copy_from_slice(&change.to_ne_bytes());
    fixed
}

fn family(address: IpAddr) -> u8 {
    if address.is_ipv4() { libc::AF_INET as u8 } else { libc::AF_INET6 as u8 }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(a) => a.octets().to_vec(),
        IpAddr::V6(a) => a.octets().to_vec(),
    }
}

/// All links of the namespace.
pub fn links(netlink: &mut Netlink) -> io::Result<Vec<Link>> {
    let mut links = Vec::new();
    netlink.list(libc::RTM_GETLINK, &ifinfo(0, 0, 0), |body| links.extend(Link::parse(body)))?;
    Ok(links)
}

/// The link of this name, if there is one.
pub fn link(netlink: &mut Netlink, name: &str) -> io::Result<Option<Link>> {
    match netlink.get(libc::RTM_GETLINK, &ifinfo(0, 0, 0), |m| m.text(libc::IFLA_IFNAME, name)) {
        Ok(body) => Ok(Link::parse(&body)),
        Err(e) if e.raw_os_error() == Some(libc::ENODEV) => Ok(None),
        Err(e) => Err(e),
    }
}

/// The link of this index, if there is one.
pub fn link_by_index(netlink: &mut Netlink, index: u32) -> io::Result<Option<Link>> {
    match netlink.get(libc::RTM_GETLINK, &ifinfo(index, 0, 0), |m| m) {
        Ok(body) => Ok(Link::parse(&body)),
        Err(e) if e.raw_os_error() == Some(libc::ENODEV) => Ok(None),
        Err(e) => Err(e),
    }
}

/// One end of a veth pair.
pub struct End<'a> {
    pub name: &'a str,
    pub mac: [u8; 6],
}

/// Makes a veth pair, down and without ARP, its peer directly in another namespace.
pub fn add_veth(
    netlink: &mut Netlink,
    host: &End<'_>,
    pod: &End<'_>,
    netns: BorrowedFd<'_>,
    mtu: u32,
) -> io::Result<()> {
    const VETH_INFO_PEER: u16 = 1;
    const INFO_KIND: u16 = 1;
    const INFO_DATA: u16 = 2;
    let end = |m: Message, end: &End<'_>| {
        m.text(libc::IFLA_IFNAME, end.name).attr(libc::IFLA_ADDRESS, &end.mac).u32(libc::IFLA_MTU, mtu)
    };
    let fixed = ifinfo(0, NOARP, NOARP);
    netlink.change(libc::RTM_NEWLINK, NEW, &fixed, |m| {
        end(m, host).nest(libc::IFLA_LINKINFO, &[], |m| {
            m.attr(INFO_KIND, b"veth").nest(INFO_DATA, &[], |m| {
                m.nest(VETH_INFO_PEER, &fixed, |m| end(m, pod).u32(libc::IFLA_NET_NS_FD, netns.as_raw_fd() as u32))
            })
        })
    })
}

/// Gives a tap its MAC address and MTU, without ARP.
pub fn set_tap(netlink: &mut Netlink, index: u32, mac: [u8; 6], mtu: u32) -> io::Result<()> {
    netlink.change(libc::RTM_NEWLINK, 0, &ifinfo(index, NOARP, NOARP), |m| {
        m.attr(libc::IFLA_ADDRESS, &mac).u32(libc::IFLA_MTU, mtu)
    })
}

/// Renames a link that is down.
pub fn rename(netlink: &mut Netlink, index: u32, name: &str) -> io::Result<()> {
    netlink.change(libc::RTM_NEWLINK, 0, &ifinfo(index, 0, 0), |m| m.text(libc::IFLA_IFNAME, name))
}

/// Gives a guest's interface its MTU, without ARP: its gateways are permanent neighbours.
pub fn set_guest_link(netlink: &mut Netlink, index: u32, mtu: u32) -> io::Result<()> {
    netlink.change(libc::RTM_NEWLINK, 0, &ifinfo(index, NOARP, NOARP), |m| m.u32(libc::IFLA_MTU, mtu))
}

/// Sets a link up.
pub fn set_up(netlink: &mut Netlink, index: u32) -> io::Result<()> {
    netlink.change(libc::RTM_NEWLINK, 0, &ifinfo(index, UP, UP), |m| m)
}

/// Waits until the other end of a veth, in whatever namespace, can send. The kernel lets a link that gets its carrier
/// send only once its link watcher has run, and drops what comes before: a pod's first packet. Asking for the link
/// makes the watcher run (Linux 6.8).
pub fn settle_peer(netlink: &mut Netlink, index: u32) -> io::Result<()> {
    let body = netlink.get(libc::RTM_GETLINK, &ifinfo(index, 0, 0), |m| m)?;
    let attribute = |kind| body.get(16..).and_then(|list| find(list, kind)).and_then(number);
    match (attribute(libc::IFLA_LINK), attribute(libc::IFLA_LINK_NETNSID)) {
        (Some(peer), Some(namespace)) => netlink
            .get(libc::RTM_GETLINK, &ifinfo(peer, 0, 0), |m| m.u32(libc::IFLA_TARGET_NETNSID, namespace))
            .map(|_| ()),
        _ => Ok(()),
    }
}

/// Deletes a link; none is fine.
pub fn delete_link(netlink: &mut Netlink, name: &str) -> io::Result<()> {
    match netlink.change(libc::RTM_DELLINK, 0, &ifinfo(0, 0, 0), |m| m.text(libc::IFLA_IFNAME, name)) {
        Err(e) if e.raw_os_error() != Some(libc::ENODEV) => Err(e),
        _ => Ok(()),
    }
}

/// Gives a link an address, without duplicate detection; again is fine.
pub fn add_address(netlink: &mut Netlink, index: u32, address: IpAddr) -> io::Result<()> {
    const LOCAL: u16 = 2;
    const ADDRESS: u16 = 1;
    const NODAD: u8 = 2;
    let (bytes, v6) = (octets(address), address.is_ipv6());
    let mut fixed = [family(address), if v6 { 128 } else { 32 }, if v6 { NODAD } else { 0 }, 0, 0, 0, 0, 0];
    fixed[4..].copy_from_slice(&index.to_ne_bytes());
    netlink.change(libc::RTM_NEWADDR, REPLACE, &fixed, |m| m.attr(LOCAL, &bytes).attr(ADDRESS, &bytes))
}

/// The addresses of a link.
pub fn addresses(netlink: &mut Netlink, index: u32) -> io::Result<Vec<IpAddr>> {
    let mut found = Vec::new();
    // ifaddrmsg: family 0 is all.
    netlink.list(libc::RTM_GETADDR, &[0; 8], |body| {
        let address = |attributes| find(attributes, 2).or_else(|| find(attributes, 1)).and_then(ip);
        if body.get(4..).and_then(number) == Some(index) {
            found.extend(body.get(8..).and_then(address));
        }
    })?;
    Ok(found)
}

/// An address as netlink writes it.
pub fn ip(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

/// Takes an address from a link; none is fine.
pub fn delete_address(netlink: &mut Netlink, index: u32, address: IpAddr) -> io::Result<()> {
    let mut fixed = [family(address), if address.is_ipv6() { 128 } else { 32 }, 0, 0, 0, 0, 0, 0];
    fixed[4..].copy_from_slice(&index.to_ne_bytes());
    match netlink.change(libc::RTM_DELADDR, 0, &fixed, |m| m.attr(2, &octets(address))) {
        Err(e) if e.raw_os_error() != Some(libc::EADDRNOTAVAIL) => Err(e),
        _ => Ok(()),
    }
}

/// Sets the permanent neighbour of an address.
pub fn set_neighbour(netlink: &mut Netlink, index: u32, address: IpAddr, mac: [u8; 6]) -> io::Result<()> {
    const PERMANENT: u16 = 0x80;
    let mut fixed = [0; 12];
    fixed[0] = family(address);
    fixed[4..8].copy_from_slice(&index.to_ne_bytes());
    fixed[8..10].copy_from_slice(&PERMANENT.to_ne_bytes());
    netlink.change(libc::RTM_NEWNEIGH, REPLACE, &fixed, |m| {
        m.attr(libc::NDA_DST, &octets(address)).attr(libc::NDA_LLADDR, &mac)
    })
}

/// How a network is reached.
pub struct Route {
    pub to: IpNetwork,
    /// `None`: a blackhole.
    pub link: Option<u32>,
    /// A gateway on that link, whatever the link's addresses are.
    pub gateway: Option<IpAddr>,
    /// Source of what the host itself sends there.
    pub source: Option<IpAddr>,
}

impl Route {
    fn fixed(&self) -> [u8; 12] {
        const ONLINK: u32 = 4;
        let link_scope = self.to.is_ipv4() && self.link.is_some() && self.gateway.is_none();
        let scope = if link_scope { libc::RT_SCOPE_LINK } else { libc::RT_SCOPE_UNIVERSE };
        let kind = if self.link.is_some() { libc::RTN_UNICAST } else { libc::RTN_BLACKHOLE };
        let mut fixed = [family(self.to.ip()), self.to.prefix(), 0, 0, MAIN, STATIC, scope, kind, 0, 0, 0, 0];
        if self.gateway.is_some() {
            fixed[8..].copy_from_slice(&ONLINK.to_ne_bytes());
        }
        fixed
    }

    fn attributes(&self, mut m: Message) -> Message {
        if self.to.prefix() > 0 {
            m = m.attr(libc::RTA_DST, &octets(self.to.network()));
        }
        if let Some(link) = self.link {
            m = m.u32(libc::RTA_OIF, link);
        }
        if let Some(gateway) = self.gateway {
            m = m.attr(libc::RTA_GATEWAY, &octets(gateway));
        }
        match self.source {
            Some(source) => m.attr(libc::RTA_PREFSRC, &octets(source)),
            None => m,
        }
    }

    /// Sets the route, in place of another one there.
    pub fn set(&self, netlink: &mut Netlink) -> io::Result<()> {
        netlink.change(libc::RTM_NEWROUTE, REPLACE, &self.fixed(), |m| self.attributes(m))
    }

    /// Deletes it; none is fine.
    pub fn delete(&self, netlink: &mut Netlink) -> io::Result<()> {
        match netlink.change(libc::RTM_DELROUTE, 0, &self.fixed(), |m| self.attributes(m)) {
            Err(e) if e.raw_os_error() != Some(libc::ESRCH) => Err(e),
            _ => Ok(()),
        }
    }
}

/// Index of the link by which the host reaches the outside, if there is one: a lookup of a documentation address,
/// whatever the number of routes.
pub fn uplink(netlink: &mut Netlink) -> io::Result<Option<u32>> {
    let outside = [IpAddr::from([192, 0, 2, 1]), IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1])];
    for address in outside {
        let mut fixed = [0; 12];
        fixed[0] = family(address);
        fixed[1] = if address.is_ipv4() { 32 } else { 128 };
        match netlink.get(libc::RTM_GETROUTE, &fixed, |m| m.attr(libc::RTA_DST, &octets(address))) {
            Ok(body) if body.get(7) == Some(&libc::RTN_UNICAST) => {
                return Ok(body.get(12..).and_then(|a| find(a, libc::RTA_OIF)).and_then(number));
            }
            Ok(_) => {}
            Err(e)
                if [Some(libc::ENETUNREACH), Some(libc::EHOSTUNREACH), Some(libc::EINVAL), Some(libc::EACCES)]
                    .contains(&e.raw_os_error()) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(None)
}
