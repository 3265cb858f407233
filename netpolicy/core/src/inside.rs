//! What is inside: never reached by a rule about what is outside the cluster. Made of networks, never of single pods,
//! so that a pod that comes or goes does not change it.

use ipnetwork::{IpNetwork, Ipv6Network};

use crate::address_range::{AddressRange, merge};

/// Loopback, link-local (169.254.169.254 and ECS too) and multicast, and what the clouds answer credentials at:
/// 100.100.100.200 (Alibaba), 168.63.129.16 (Azure), 192.0.0.192 (Oracle), fd00:ec2::/32 (AWS), fd20:ce::/32 (Google),
/// fd00:42::42 (Scaleway). `::/16` has `::`, `::1` and every writing of an IPv4 address as IPv6 that hosts take for it;
/// 64:ff9b:1::/48 is translated to IPv4 in a way of the site's own (RFC 8215), so it could be any of these.
const FIXED: [&str; 15] = [
    "0.0.0.0/8",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "224.0.0.0/3",
    "100.100.100.200/32",
    "168.63.129.16/32",
    "192.0.0.192/32",
    "::/16",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
    "fd00:ec2::/32",
    "fd20:ce::/32",
    "fd00:42::42/128",
    "64:ff9b:1::/48",
];

/// The cluster's networks and [`FIXED`], and the IPv4 ones among them as they look through NAT64 (64:ff9b::/96, RFC
/// 6052, and the prefixes that are configured) and 6to4 (2002::/16, RFC 3056).
pub(crate) fn inside(cluster: &[AddressRange], nat64: &[Ipv6Network]) -> Vec<AddressRange> {
    let fixed = FIXED.iter().filter_map(|text| text.parse::<IpNetwork>().ok()).map(|n| AddressRange::network(&n));
    let all = merge(fixed.chain(cluster.iter().copied()).collect());
    let well_known = Ipv6Network::new(WELL_KNOWN.into(), 96).ok();
    let prefixes: Vec<Ipv6Network> = well_known.into_iter().chain(nat64.iter().copied()).collect();
    let four = all.iter().filter(|range| !range.v6);
    let seen = four.flat_map(|range| prefixes.iter().map(|p| translated(range, p)).chain([six_to_four(range)]));
    let seen: Vec<AddressRange> = seen.collect();
    merge(all.into_iter().chain(seen).collect())
}

/// Whether a prefix is of a length that RFC 6052 has.
pub fn is_nat64_prefix(prefix: &Ipv6Network) -> bool {
    [32, 40, 48, 56, 64, 96].contains(&prefix.prefix())
}

const WELL_KNOWN: [u16; 8] = [0x64, 0xff9b, 0, 0, 0, 0, 0, 0];

/// IPv4 addresses behind a NAT64 prefix. Bits 64 to 71 are 0 and skipped; what follows the address is not looked at.
fn translated(range: &AddressRange, prefix: &Ipv6Network) -> AddressRange {
    let length = u32::from(prefix.prefix());
    let embed = |address: u128| match length {
        // The whole address lies before bit 64, or the whole after bit 72.
        ..=32 => address << 64,
        96.. => address,
        64.. => address << 24,
        _ => {
            // `low` of its 32 bits come after the skipped ones.
            let low = length - 32;
            ((address >> low) << 64) | ((address & ((1 << low) - 1)) << (56 - low))
        }
    };
    let free = match length {
        ..=32 => 64,
        96.. => 0,
        64.. => 24,
        _ => 56 - (length - 32),
    };
    let base = u128::from(prefix.network());
    AddressRange { v6: true, first: base | embed(range.first), last: base | embed(range.last) | ((1 << free) - 1) }
}

fn six_to_four(range: &AddressRange) -> AddressRange {
    let base = 0x2002_u128 << 112;
    AddressRange { v6: true, first: base | (range.first << 80), last: base | (range.last << 80) | ((1 << 80) - 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_inside(nat64: &str, address: &str) -> bool {
        let nat64: Vec<Ipv6Network> = nat64.split_whitespace().map(|p| p.parse().unwrap()).collect();
        let cluster = ["10.88.0.0/16", "192.168.7.0/24"].map(|n| AddressRange::network(&n.parse().unwrap()));
        crate::address_range::covers(&inside(&cluster, &nat64), address.parse().unwrap())
    }

    #[test]
    fn every_network_that_is_fixed_can_be_read() {
        assert!(FIXED.iter().all(|text| text.parse::<IpNetwork>().is_ok()));
    }

    #[test]
    fn metadata_of_every_cloud_is_inside() {
        let all = "169.254.169.254 169.254.170.2 100.100.100.200 168.63.129.16 192.0.0.192 fd00:ec2::254 fd00:ec2::23 \
                   fd20:ce::254 fd00:42::42 fe80::a9fe:a9fe";
        for address in all.split_whitespace() {
            assert!(is_inside("", address), "{address}");
        }
        for address in "100.100.100.199 168.63.129.17 8.8.8.8 2001:4860:4860::8888 fd00:ec3::254".split(' ') {
            assert!(!is_inside("", address), "{address}");
        }
    }

    #[test]
    fn what_is_inside_is_so_through_every_translation() {
        let hidden = "::ffff:169.254.169.254 ::169.254.169.254 64:ff9b::169.254.169.254 64:ff9b::100.100.100.200 \
                      64:ff9b::168.63.129.16 64:ff9b::10.88.3.4 64:ff9b::192.168.7.9 64:ff9b::127.0.0.1 \
                      2002:a9fe:a9fe::1 2002:a58:304:1::2 64:ff9b:1:a9fe:a9:fe00::";
        for address in hidden.split_whitespace() {
            assert!(is_inside("", address), "{address}");
        }
        for address in ["64:ff9b::8.8.8.8", "2002:808:808::1", "64:ff9b::10.89.0.1"] {
            assert!(!is_inside("", address), "{address}");
        }
    }

    /// The examples of RFC 6052, section 2.4, with 169.254.169.254 (a9fe:a9fe) in the place of 192.0.2.33.
    #[test]
    fn configured_prefixes_of_every_length_are_read_as_rfc_6052_has_them() {
        for (prefix, metadata, outside) in [
            ("2001:db8::/32", "2001:db8:a9fe:a9fe::", "2001:db8:808:808::"),
            ("2001:db8:100::/40", "2001:db8:1a9:fea9:fe::", "2001:db8:108:808:8::"),
            ("2001:db8:122::/48", "2001:db8:122:a9fe:a9:fe00::", "2001:db8:122:808:8:800::"),
            ("2001:db8:122:300::/56", "2001:db8:122:3a9:fe:a9fe::", "2001:db8:122:308:8:808::"),
            ("2001:db8:122:344::/64", "2001:db8:122:344:a9:fea9:fe00::", "2001:db8:122:344:8:808:800::"),
            ("2001:db8:122:344::/96", "2001:db8:122:344::169.254.169.254", "2001:db8:122:344::8.8.8.8"),
        ] {
            assert!(is_inside(prefix, metadata), "{prefix} {metadata}");
            assert!(!is_inside(prefix, outside) && !is_inside("", metadata), "{prefix} {outside}");
        }
    }
}
